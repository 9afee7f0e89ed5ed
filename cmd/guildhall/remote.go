package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"golang.org/x/sys/unix"

	api "guildhall/client"
)

// remoteSettings are the environment of the commands that speak to a server.
// The others pass over them, so that one shell can hold both.
var remoteSettings = map[string]bool{"GUILDHALL_SERVER": true, "GUILDHALL_KEY": true}

// remote is a command that speaks to a server: its flags and its manners.
type remote struct {
	command, synopsis string
	flags             *flag.FlagSet
	server, keyFile   string
	asJSON            bool
	key               string
	out, errs         io.Writer
	args              []string
}

// newRemote has the flags that all such commands have; the caller adds its own
// and then calls parse.
func newRemote(command, synopsis string, out, errs io.Writer) *remote {
	r := &remote{command: command, synopsis: synopsis, out: out, errs: errs, flags: flag.NewFlagSet("guildhall "+command, flag.ContinueOnError)}
	r.flags.SetOutput(errs)
	r.flags.StringVar(&r.server, "server", "", "address of the server (default http://127.0.0.1:8080) [GUILDHALL_SERVER]")
	r.flags.StringVar(&r.keyFile, "key-file", "", "file with the key, readable by you alone (default guildhall/HOST.key in your configuration folder); the key itself can be in GUILDHALL_KEY")
	r.flags.BoolVar(&r.asJSON, "json", false, "print JSON also on a terminal")
	r.flags.Usage = func() {
		fmt.Fprintf(errs, "Usage: guildhall %s %s\n\n", command, synopsis)
		r.flags.PrintDefaults()
	}
	return r
}

// parse reads flags before, between and behind the arguments, of which there
// must be from low to high.
func (r *remote) parse(args, env []string, low, high int) error {
	for {
		if err := r.flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return err
		} else if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		if r.flags.NArg() == 0 {
			break
		}
		r.args, args = append(r.args, r.flags.Arg(0)), r.flags.Args()[1:]
	}
	if len(r.args) < low || len(r.args) > high {
		return fmt.Errorf("%w: guildhall %s %s", errUsage, r.command, r.synopsis)
	}
	known := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		if known[k] = v; strings.HasPrefix(k, "GUILDHALL_") && !isSetting(k) {
			return fmt.Errorf("%w: there is no setting %s; see guildhall %s --help", errUsage, k, r.command)
		}
	}
	r.key = strings.TrimSpace(known["GUILDHALL_KEY"])
	for _, s := range []string{known["GUILDHALL_SERVER"], "http://127.0.0.1:8080"} {
		if r.server == "" {
			r.server = s
		}
	}
	if _, err := api.New(r.server, "", api.Options{}); err != nil {
		return fmt.Errorf("%w: --server: %w", errUsage, err)
	}
	return nil
}

// isSetting says whether a variable is one of ours.
func isSetting(name string) bool {
	if remoteSettings[name] {
		return true
	}
	for _, s := range settings {
		if s.env == name {
			return true
		}
	}
	return false
}

var errNoKey = errors.New("no key")

// client speaks for the account whose key is in the environment or the file.
func (r *remote) client() (*api.Client, error) {
	c, err := r.stranger()
	if err != nil {
		return nil, err
	}
	if r.key == "" || r.keyFile != "" {
		key, err := r.readKey(c.Host())
		if errors.Is(err, errNoKey) && r.key != "" {
			err = fmt.Errorf("there is no %s; without --key-file the key in GUILDHALL_KEY is used", r.keyFile)
		}
		if err != nil {
			return nil, err
		}
		r.key = key
	}
	if !c.Private() {
		fmt.Fprintf(r.errs, "guildhall: the key goes to %s without encryption; use https if the server has it\n", c.Host())
	}
	return c.With(r.key)
}

// stranger is a client without a key.
func (r *remote) stranger() (*api.Client, error) {
	return api.New(r.server, "", api.Options{UserAgent: "guildhall/" + version})
}

// readKey returns errNoKey if there is no file, and refuses one that others
// may read.
func (r *remote) readKey(host string) (string, error) {
	path, err := r.keyPath(host)
	if err != nil {
		return "", err
	}
	text, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w for %s in %s: `guildhall work` registers an agent, `guildhall handoff redeem` takes over a bundle; or set GUILDHALL_KEY", errNoKey, host, path)
	}
	key := strings.TrimSpace(text)
	if err == nil && key == "" {
		err = fmt.Errorf("%s is empty; remove it, or put a key into it", path)
	}
	return key, err
}

func (r *remote) keyPath(host string) (string, error) {
	if r.keyFile != "" {
		return r.keyFile, nil
	}
	dir, err := configDir()
	return filepath.Join(dir, hostName(host)+".key"), err
}

// ownKey is the key of the agent's own account, in the environment or in the
// usual file, "" if it has none.
func (r *remote) ownKey(host string) (string, error) {
	key := r.key
	if key == "" {
		usual := remote{}
		path, err := usual.keyPath(host)
		if err != nil {
			return "", err
		}
		text, err := readSecret(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		key = strings.TrimSpace(text)
	}
	if !strings.HasPrefix(key, "gha_") { // a bundle's
		return "", nil
	}
	return key, nil
}

// saveKey keeps the key where nobody else can read it, and never in the place
// of another one.
func (r *remote) saveKey(host, key string) error {
	path, err := r.keyPath(host)
	if err != nil {
		return err
	}
	err = writeSecret(path, key+"\n", os.Link)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s holds a key already; name another --key-file", path)
	}
	return err
}

// roomForKey fails where saveKey would, before there is a key to lose.
func (r *remote) roomForKey(host string) error {
	path, err := r.keyPath(host)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s holds a key already; name another --key-file", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".try-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// lockKey waits until no other command makes an account for the key file.
func (r *remote) lockKey(host string) (unlock func(), err error) {
	path, err := r.keyPath(host)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil // which lets go of it
}

func configDir() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "guildhall"), err
}

// hostName is a server's name as part of a file's.
func hostName(host string) string {
	return strings.NewReplacer(":", "_", "/", "_", "[", "", "]", "").Replace(host)
}

// isTerminal says whether people look at the file.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// wantsJSON says whether a program reads what the command prints.
func (r *remote) wantsJSON() bool { return r.asJSON || !isTerminal(r.out) }

// print writes the value as JSON.
func (r *remote) print(v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	terminal := isTerminal(r.out)
	if terminal {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(v); err != nil {
		return err
	}
	if terminal {
		_, err := io.WriteString(r.out, escapedHidden(text.String()))
		return err
	}
	_, err := r.out.Write(text.Bytes())
	return err
}

// escapedHidden escapes in JSON what a terminal would obey or nobody would see.
func escapedHidden(text string) string {
	var b strings.Builder
	for _, c := range text {
		if c == '\n' || !unicode.IsControl(c) && !unicode.Is(unicode.Cf, c) {
			b.WriteRune(c)
			continue
		}
		for _, half := range utf16.Encode([]rune{c}) {
			fmt.Fprintf(&b, `\u%04x`, half)
		}
	}
	return b.String()
}

// table writes rows under a head, in columns.
func (r *remote) table(head string, rows [][]string) error {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = line(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// line is text of others on one line of a terminal, without what would move
// its cursor or turn its letters round.
func line(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c):
			return -1
		}
		return c
	}, s)
}

// lines is line for text of several lines.
func lines(s string) string {
	all := strings.Split(s, "\n")
	for i := range all {
		all[i] = line(all[i])
	}
	return strings.Join(all, "\n")
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
