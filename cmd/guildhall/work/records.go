package work

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"guildhall/client"
)

// step is how far a worker has come with a task. It is written down before
// the next one begins, so that a worker which was killed goes on from there.
type step string

const (
	// stepClaiming: the claim is asked for, under a key that gives the same
	// claim again.
	stepClaiming step = "claiming"
	// stepSolving: the task is held, or in open mode needs no claim, and the
	// program runs. After a restart it runs anew.
	stepSolving step = "solving"
	// stepSolved: the output is kept and may be delivered already, under a key
	// that delivers it once.
	stepSolved step = "solved"
	// stepDone: this worker does not take the task on again.
	stepDone step = "done"
)

// record is what a worker remembers of a task.
type record struct {
	TaskID string `json:"taskId"`
	Step   step   `json:"step"`
	// Result is the event that ended it: delivered, given_back, failed, lost.
	Result     string          `json:"result,omitempty"`
	Open       bool            `json:"open,omitempty"`
	ClaimKey   string          `json:"claimKey,omitempty"`
	Claim      *client.Claim   `json:"claim,omitempty"`
	DeliverKey string          `json:"deliverKey,omitempty"`
	Output     *client.Package `json:"output,omitempty"`
	DeliveryID string          `json:"deliveryId,omitempty"`
	// Round counts the deliveries that were rejected to be revised.
	Round int       `json:"round,omitempty"`
	At    time.Time `json:"at"`
}

// keepRecords is for how long a task that is done is remembered: no deadline
// is further away.
const keepRecords = 100 * 24 * time.Hour

// records are a folder with a file for each task.
type records struct {
	dir  string
	lock *os.File
	mu   sync.Mutex
	all  map[string]record
}

// openRecords takes the folder for this process; another one that uses it is
// an error.
func openRecords(dir string, now time.Time) (*records, error) {
	if err := os.MkdirAll(filepath.Join(dir, "tasks"), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another worker uses %s; give each a --state of its own", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	r := &records{dir: dir, lock: lock, all: map[string]record{}}
	endLeftovers(r.temporary())
	if err := errors.Join(os.RemoveAll(r.temporary()), r.load(now)); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// close lets go of the lock in words: a program that is being started has the
// file open for a moment too, and would hold the lock until it runs.
func (r *records) close() {
	_ = unix.Flock(int(r.lock.Fd()), unix.LOCK_UN)
	_ = r.lock.Close()
}

// temporary is where the programs' files are while they run.
func (r *records) temporary() string { return filepath.Join(r.dir, "tmp") }

func (r *records) path(task string) string { return filepath.Join(r.dir, "tasks", task+".json") }

func (r *records) load(now time.Time) error {
	names, err := filepath.Glob(filepath.Join(r.dir, "tasks", "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".json") { // half of a file, of a write that was broken off
			_ = os.Remove(name)
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var rec record
		if err := json.Unmarshal(text, &rec); err != nil || r.path(rec.TaskID) != name {
			return fmt.Errorf("%s is not what a worker wrote; move it away (%v)", name, err)
		}
		if rec.Step == stepDone && now.Sub(rec.At) > keepRecords {
			if err := os.Remove(name); err != nil {
				return err
			}
			continue
		}
		r.all[rec.TaskID] = rec
	}
	return nil
}

// belongTo holds the folder to one account: tasks that one has done are not
// done for another.
func (r *records) belongTo(account string) error {
	path := filepath.Join(r.dir, "account")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return writeWhole(path, []byte(account+"\n"))
	case err != nil:
		return err
	case strings.TrimSpace(string(text)) != account:
		return fmt.Errorf("%s is the state of another account's worker; use another --state", r.dir)
	}
	return nil
}

// get is what is known of the task.
func (r *records) get(task string) (record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.all[task]
	return rec, ok
}

// unfinished are the tasks that an earlier run did not end, the oldest first.
func (r *records) unfinished() []record {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.DeleteFunc(slices.Collect(maps.Values(r.all)), func(rec record) bool { return rec.Step == stepDone })
	slices.SortFunc(list, func(a, b record) int { return a.At.Compare(b.At) })
	return list
}

// put writes the record down before it returns, past the caches of the system.
func (r *records) put(rec record) error {
	rec.At = time.Now().UTC()
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if err := writeWhole(r.path(rec.TaskID), text); err != nil {
		return fmt.Errorf("write down what is done: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all[rec.TaskID] = rec
	return nil
}

// forget is put for a task of which nothing is left to remember.
func (r *records) forget(task string) error {
	if err := os.Remove(r.path(task)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, task)
	return nil
}

// retry forgets what ended without a delivery.
func (r *records) retry() error {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.all))
	r.mu.Unlock()
	for _, rec := range all {
		if rec.Step == stepDone && rec.Result != Delivered {
			if err := r.forget(rec.TaskID); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeWhole writes the whole file or leaves what was there.
func writeWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
