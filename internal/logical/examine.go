package logical

import "context"

// Examine asks whether Take could read everything, without reading any of it:
// it takes a snapshot, reads the catalogues and compares the privileges.
func Examine(ctx context.Context, src Source) (err error) {
	a := &attempt{src: src.withDefaults(), number: 1, catalogue: &Catalogue{Version: catalogueVersion}}
	defer a.sessions.close(ctx)
	defer func() { err = a.verdict(ctx, err) }()
	if err := a.open(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		a.takeSnapshot, a.readServer, a.refuseUnsupported, a.listTables, a.listSequences, a.listBlobs, a.checkAccess, a.readRelease,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
