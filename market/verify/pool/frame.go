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
// gets. Documents travel as base64, because they need not be JSON.

// Limits of frames in bytes. A request holds the largest schema, rules,
// payload, output and hidden vectors in base64; an answer the largest report.
const (
	maxRequest = 2 << 20
	maxAnswer  = 512 << 10
)

// protocol is raised whenever frames change their meaning.
const protocol = 2

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
	Schema      []byte              `json:"schema,omitempty"`
	Rules       []byte              `json:"rules,omitempty"`
	Payload     []byte              `json:"payload,omitempty"`
	Output      []byte              `json:"output,omitempty"`
	Attachments []market.Attachment `json:"attachments,omitempty"`
	Hidden      []byte              `json:"hidden,omitempty"`
	DryRun      bool                `json:"dryRun,omitempty"`
	// Admit asks for problems of the task instead of a report.
	Admit bool `json:"admit,omitempty"`
}

func jobRequest(j verify.Job) request {
	return request{Schema: j.Schema, Rules: j.Rules, Payload: j.Payload, Output: j.Output, Attachments: j.Attachments, Hidden: j.Hidden, DryRun: j.DryRun}
}

func admitRequest(a verify.Admission) request {
	return request{Schema: a.Schema, Rules: a.Rules, Payload: a.Payload, Hidden: a.Hidden, Admit: true}
}

// job and admission are the other way round.
func (r request) job() verify.Job {
	return verify.Job{Schema: r.Schema, Rules: r.Rules, Payload: r.Payload, Output: r.Output, Attachments: r.Attachments, Hidden: r.Hidden, DryRun: r.DryRun}
}

func (r request) admission() verify.Admission {
	return verify.Admission{Schema: r.Schema, Rules: r.Rules, Payload: r.Payload, Hidden: r.Hidden}
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
