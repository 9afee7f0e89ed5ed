// Package cluster starts and supervises a private PostgreSQL cluster from the
// server binaries of the machine, so that Guildhall runs without a database
// that somebody else has to look after.
//
// The cluster lives in one folder of Guildhall's data directory:
//
//	DIR/guildhall.lock   held by the process that owns the cluster; names its pid
//	DIR/postgres/        the data; guildhall.conf is rewritten at every start,
//	                     operator.conf is the operator's and never changed
//	DIR/postgres.log     what the server says; postgres.log.1 is the part before
//	DIR/socket/          the Unix socket, the only way in (no TCP port)
//
// One process owns a cluster, others may attach to it while it is owned. The
// server outlives an owner that is killed; the next owner adopts it.
//
// The package knows nothing about what is stored: no tables, no migrations, no
// market. It must stay that way.
package cluster
