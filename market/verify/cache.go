package verify

import (
	"container/list"
	"crypto/sha256"
)

// Bounds of what one cache remembers. The weight is an estimate of memory.
const (
	maxCached       = 256
	maxCachedWeight = 32 << 20
)

// compiler makes something of a document, and says what it weighs or why the
// document is refused.
type compiler[T any] func(raw []byte) (compiled T, weight int, problems []Problem)

// cache keeps what was compiled last, by the SHA-256 of its document.
type cache[T any] struct {
	compiler compiler[T]
	entries  map[[sha256.Size]byte]*list.Element
	recent   *list.List // of *cached[T], the one used last in front
	weight   int
}

type cached[T any] struct {
	key    [sha256.Size]byte
	value  T
	weight int
}

func newCache[T any](c compiler[T]) *cache[T] {
	return &cache[T]{compiler: c, entries: map[[sha256.Size]byte]*list.Element{}, recent: list.New()}
}

// compile returns the document in compiled form, or why it is refused.
// Refusals are not remembered: they happen once, when a task is published.
func (c *cache[T]) compile(raw []byte) (T, []Problem) {
	key := sha256.Sum256(raw)
	if found, ok := c.entries[key]; ok {
		c.recent.MoveToFront(found)
		return found.Value.(*cached[T]).value, nil
	}
	compiled, weight, problems := c.compiler(raw)
	if len(problems) > 0 {
		return compiled, problems
	}
	c.entries[key] = c.recent.PushFront(&cached[T]{key, compiled, weight})
	c.weight += weight
	for c.recent.Len() > maxCached || c.weight > maxCachedWeight && c.recent.Len() > 1 {
		oldest := c.recent.Remove(c.recent.Back()).(*cached[T])
		delete(c.entries, oldest.key)
		c.weight -= oldest.weight
	}
	return compiled, nil
}
