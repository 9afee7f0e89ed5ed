package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// AfterRestore lets the event feeds of a database go on that was restored from
// a dump, where PostgreSQL counts transactions from the beginning again: what is
// written from now on is placed behind all that was. It reports whether there
// was something to do. Call it before anything is written.
func AfterRestore(ctx context.Context, databaseURL string) (restored bool, err error) {
	c, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return false, translate(err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	err = c.QueryRow(ctx, `SELECT feed_after_restore()`).Scan(&restored)
	return restored, translate(err)
}
