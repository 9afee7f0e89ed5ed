package pool

import "sync"

const excerptPart = 2 << 10

// excerpt keeps the beginning and the end of what is written to it. Of a
// crash the beginning says why, and the end is newest.
type excerpt struct {
	mu      sync.Mutex
	head    []byte
	tail    []byte // a ring once it is full
	at      int    // where the ring is written next
	skipped bool
}

// Write implements io.Writer and never fails.
func (e *excerpt) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	written := len(p)
	n := min(len(p), excerptPart-len(e.head))
	e.head, p = append(e.head, p[:n]...), p[n:]
	for _, c := range p {
		if len(e.tail) < excerptPart {
			e.tail = append(e.tail, c)
			continue
		}
		e.tail[e.at] = c
		e.at = (e.at + 1) % excerptPart
		e.skipped = true
	}
	return written, nil
}

func (e *excerpt) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	gap := ""
	if e.skipped {
		gap = "\n[…]\n"
	}
	return string(e.head) + gap + string(e.tail[e.at:]) + string(e.tail[:e.at])
}
