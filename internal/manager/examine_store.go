package manager

import (
	"context"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/ledger"
)

// examineStore probes what the store can do: two writers depend on it. It
// returns nil if there is no repository that can be opened.
func (m *Manager) examineStore(ctx context.Context, store envdb.Store, d *Diagnosis) *backup.Repository {
	reached, usable := examineService(ctx, store, d)
	if !reached {
		return nil
	}
	repository, err := m.open(ctx)
	if err == nil && usable {
		err = ledger.Probe(ctx, store)
	}
	if err != nil {
		d.trouble("store", err)
		return nil
	}
	if !usable {
		m.examineKeys(repository.Encryption(), d)
		return repository
	}
	d.add("store", Fine, "writes are atomic and conditional; repository %s", repository.ID())
	m.examineKeys(repository.Encryption(), d)
	if stored, err := m.ledger.FlushSpool(ctx); err != nil {
		d.trouble("store", err)
	} else if stored > 0 {
		d.add("store", Fine, "stored %s of runs that ended while the store was down", counted(stored, "record"))
	}
	return repository
}

// examineKeys looks at who can open the repository.
func (m *Manager) examineKeys(e backup.Encryption, d *Diagnosis) {
	if e.Mode == backup.NotEncrypted {
		m.examinePlain(d)
		return
	}
	list := ListKeys(e, m.config.Recipients())
	names := make([]string, len(list.Keys))
	recovery := false
	for i, k := range list.Keys {
		names[i] = k.Name + " (" + string(k.Kind)
		if k.Here {
			names[i] += ", used here"
		}
		names[i] += ")"
		recovery = recovery || k.Kind == seal.Recovery
	}
	d.add("encryption", Fine, "%s, data key %s; %s: %s", e.Mode, e.KeyID, counted(len(names), "key"), strings.Join(names, ", "))
	if !recovery {
		d.add("encryption", Caution, "there is no recovery key: who loses the machines loses the backups").Next = "envdb key add recovery --kind recovery --file recovery.txt"
	}
	if m.config.Encryption().KeyID == "" {
		d.add("encryption", Caution, "the configuration does not say which data key is the right one: who can write to the store could put another in its place").
			Next = `write key_id: "` + e.KeyID + `" below store.encryption`
	}
}

// examinePlain says what it means that a repository is not encrypted.
func (m *Manager) examinePlain(d *Diagnosis) {
	if at, err := m.config.Store(); err != nil || !at.S3() {
		d.add("encryption", Fine, "none: who can read the store can read the data in the backups")
		return
	}
	d.add("encryption", Caution, "none: who can read the bucket, and who runs the service, can read the data in the backups").
		Next = "for an encrypted repository, envdb init another place in the bucket; see docs/keys.md"
}
