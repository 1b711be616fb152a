package archive_test

import (
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
