package logical

import "context"

// TakeHooked is Take with something happening between two steps of an attempt.
func TakeHooked(ctx context.Context, src Source, w ChunkWriter, snapshotTaken, locked func(attempt int)) (*Catalogue, error) {
	return take(ctx, src.withDefaults(), w, hooks{snapshotTaken: snapshotTaken, locked: locked})
}
