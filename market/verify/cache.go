package verify

import (
	"container/list"
	"crypto/sha256"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of the compiled schemas that an engine remembers. The weight is an
// estimate of their memory.
const (
	maxCached       = 256
	maxCachedWeight = 32 << 20
)

// compiledSchema is a schema that was admitted.
type compiledSchema struct {
	schema *jsonschema.Schema
	weight int
}

// schemaCache keeps the schemas used last, by the SHA-256 of their bytes.
type schemaCache struct {
	entries map[[sha256.Size]byte]*list.Element
	recent  *list.List // of *cached, the one used last in front
	weight  int
}

type cached struct {
	key [sha256.Size]byte
	compiledSchema
}

func newSchemaCache() *schemaCache {
	return &schemaCache{entries: map[[sha256.Size]byte]*list.Element{}, recent: list.New()}
}

// compile returns the schema in compiled form, or why it is refused.
// Refusals are not remembered: they happen once, when a task is published.
func (c *schemaCache) compile(raw []byte) (*jsonschema.Schema, []Problem) {
	key := sha256.Sum256(raw)
	if found, ok := c.entries[key]; ok {
		c.recent.MoveToFront(found)
		return found.Value.(*cached).schema, nil
	}
	compiled, problems := compile(raw)
	if len(problems) > 0 {
		return nil, problems
	}
	c.entries[key] = c.recent.PushFront(&cached{key, compiled})
	c.weight += compiled.weight
	for c.recent.Len() > maxCached || c.weight > maxCachedWeight && c.recent.Len() > 1 {
		oldest := c.recent.Remove(c.recent.Back()).(*cached)
		delete(c.entries, oldest.key)
		c.weight -= oldest.weight
	}
	return compiled.schema, nil
}
