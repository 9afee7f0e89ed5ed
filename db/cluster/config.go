package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// settings are the files a server runs with. The hash covers all that decides
// how it behaves, so that a server started with other settings is noticed.
type settings struct {
	files map[string]string
	hash  string
}

const mainConf = `# Guildhall rewrites this file at every start.
# Put your own settings into operator.conf, which is read last.
include = 'guildhall.conf'
include_if_exists = 'operator.conf'
`

const ownConf = `# Guildhall rewrites this file at every start.
# Put your own settings into operator.conf, which is read last.

# Reached through a Unix socket by the users named in pg_ident.conf only.
listen_addresses = ''
unix_socket_permissions = 0700

# What is acknowledged survives a crash.
fsync = %[1]s
synchronous_commit = %[1]s
full_page_writes = %[1]s
restart_after_crash = on

max_connections = %[2]d
shared_buffers = 128MB
effective_cache_size = 1GB
random_page_cost = 1.1
max_wal_size = 1GB
wal_compression = on
jit = off

log_destination = 'stderr'
logging_collector = off
log_line_prefix = '%%m [%%p] '
log_checkpoints = off
cluster_name = '%[3]s'

timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, mdy'
lc_messages = 'C'
lc_monetary = 'C'
lc_numeric = 'C'
lc_time = 'C'
default_text_search_config = 'pg_catalog.english'
`

const operatorConf = `# Your own PostgreSQL settings. Guildhall reads this file and never changes it;
# a new setting holds from the next start on.
`

const hbaConf = `# Guildhall rewrites this file at every start.
local all all peer map=guildhall
`

// clusterName marks the server's processes, whose titles begin with it.
func (c *Cluster) clusterName() string { return "guildhall-" + tag(c.dir) }

// configure works out the settings of this start.
func (c *Cluster) configure() error {
	ident, err := c.identConf()
	if err != nil {
		return err
	}
	durable := "on"
	if c.opts.Fast {
		durable = "off"
	}
	operator, err := os.ReadFile(filepath.Join(c.data, "operator.conf"))
	absent := os.IsNotExist(err)
	if absent {
		operator = []byte(operatorConf)
	} else if err != nil {
		return err
	}
	own := fmt.Sprintf(ownConf, durable, c.opts.MaxConnections, c.clusterName())
	c.settings = settings{files: map[string]string{
		"postgresql.conf": mainConf,
		"guildhall.conf":  own,
		"pg_hba.conf":     hbaConf,
		"pg_ident.conf":   ident,
	}}
	if absent {
		c.settings.files["operator.conf"] = operatorConf
	}
	all := []string{own, ident, string(operator), mainConf, hbaConf, c.socket, c.bin.dir, c.bin.version, c.user.name}
	sum := sha256.Sum256([]byte(strings.Join(all, "\x00")))
	c.settings.hash = hex.EncodeToString(sum[:8])
	return nil
}

// identConf lets the user who runs Guildhall and the one who runs the server
// in as the role guildhall, and nobody else.
func (c *Cluster) identConf() (string, error) {
	me, err := accountOf(uint32(os.Geteuid()))
	if err != nil {
		return "", err
	}
	text := "# Guildhall rewrites this file at every start.\n"
	text += identLine(me.name)
	if c.user.name != me.name {
		text += identLine(c.user.name)
	}
	return text, nil
}

func identLine(name string) string {
	return "guildhall " + `"` + name + `"` + " guildhall\n"
}

// writeConfig puts the settings in place.
func (c *Cluster) writeConfig() error {
	for name, text := range c.settings.files {
		if err := c.user.write(filepath.Join(c.data, name), text); err != nil {
			return err
		}
	}
	return nil
}

// write replaces a file of the account in one step. The folder may belong to
// another user than ours, so nothing in it is followed or overwritten.
func (a account) write(name, text string) error {
	draft := name + ".draft"
	_ = os.Remove(draft)
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil && a.foreign() {
		err = f.Chown(int(a.uid), int(a.gid))
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(draft, name)
	}
	if err != nil {
		_ = os.Remove(draft)
	}
	return err
}

// flags are the settings operator.conf must not change, or finding the server
// again would fail.
func (c *Cluster) flags() []string {
	var args []string
	for _, set := range []string{
		"port=" + port,
		"unix_socket_directories=" + c.socket,
		"guildhall.config=" + c.settings.hash,
	} {
		args = append(args, "-c", set)
	}
	return args
}

// environment is all a server's program gets to see of ours: no secrets, and
// none of the PG* variables that would change its settings.
func environment(extra ...string) []string {
	env := []string{"LC_ALL=C", "TZ=UTC", "HOME=/"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, extra...)
}

// withoutCheck tells a server that the process named in a left-over
// postmaster.pid is no server. It then overlooks that pid, but still refuses
// to start while processes of the old server are attached to its memory.
func withoutCheck(pid int) string { return "PG_GRANDPARENT_PID=" + strconv.Itoa(pid) }
