package pool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"guildhall/market"
	"guildhall/market/verify"
)

// Server and child talk in frames: four bytes of length, the highest first,
// and that much JSON. The child greets, and then answers one frame to each it
// gets. Schema and output travel as base64, because they need not be JSON.

// Limits of frames in bytes. A request holds the largest schema and output in
// base64; an answer the largest report.
const (
	maxRequest = 1 << 20
	maxAnswer  = 512 << 10
)

// protocol is raised whenever frames change their meaning.
const protocol = 1

type greeting struct {
	Protocol int `json:"protocol"`
}

func (g greeting) check() error {
	if g.Protocol != protocol {
		return fmt.Errorf("the worker speaks protocol %d, not %d", g.Protocol, protocol)
	}
	return nil
}

type request struct {
	Schema []byte `json:"schema,omitempty"`
	Output []byte `json:"output,omitempty"`
	// Admit asks for problems of the schema instead of a report.
	Admit bool `json:"admit,omitempty"`
}

type answer struct {
	Report   *market.Report   `json:"report,omitempty"`
	Problems []verify.Problem `json:"problems,omitempty"`
	// Retire says that the child should be replaced.
	Retire bool `json:"retire,omitempty"`
}

func writeFrame(w io.Writer, v any) error {
	frame := bytes.NewBuffer(make([]byte, 4, 4096))
	if err := json.NewEncoder(frame).Encode(v); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(frame.Bytes(), uint32(frame.Len()-4))
	_, err := w.Write(frame.Bytes())
	return err
}

// readFrame returns io.EOF only where a frame could have begun.
func readFrame(r io.Reader, limit int, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > uint32(limit) {
		return fmt.Errorf("a frame of %d bytes is over the limit of %d", size, limit)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("a frame is cut short: %w", err)
	}
	return json.Unmarshal(body, v)
}
