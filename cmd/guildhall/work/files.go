package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"guildhall/client"
)

// Limits of the files of one task.
const (
	maxFiles     = 20
	maxFileBytes = 256 << 20 // in all
)

// fetch writes the task's attachments into the folder, under names that stay
// in it. An attachment that is only an address is not followed: it was written
// by somebody else.
func fetch(ctx context.Context, c *client.Client, dir string, list []client.Attachment) error {
	var total int64
	used := map[string]bool{}
	for i, a := range list {
		if total += a.Bytes; i >= maxFiles || total > maxFileBytes {
			return fmt.Errorf("the task brings more than %d files or %d MiB", maxFiles, maxFileBytes>>20)
		}
		name := fileName(a.Name)
		for used[strings.ToLower(name)] {
			name = strconv.Itoa(i+1) + "-" + name
		}
		used[strings.ToLower(name)] = true
		err := fetchOne(ctx, c, filepath.Join(dir, name), a)
		switch {
		case client.IsCode(err, "not_found"): // described, not uploaded
		case err != nil:
			return fmt.Errorf("download %s: %w", name, err)
		}
	}
	return nil
}

func fetchOne(ctx context.Context, c *client.Client, path string, a client.Attachment) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(c.Download(ctx, a, f), f.Close()); err != nil {
		_ = os.Remove(path)
	}
	return err
}

// fileName is a name that is one plain file in any folder.
func fileName(s string) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || strings.ContainsRune(`/\:`, c) {
			return '_'
		}
		return c
	}, s)
	s = shortened(strings.TrimLeft(s, ".- "), 60)
	if s == "" {
		return "file"
	}
	return s
}

// sendFiles uploads what the program left in its outbox.
func sendFiles(ctx context.Context, c *client.Client, p place) ([]client.Attachment, error) {
	if info, err := p.root.Lstat(outboxName); err != nil || !info.IsDir() {
		return nil, errors.Join(errors.New("the program has replaced its outbox"), err)
	}
	outbox, err := p.root.OpenRoot(outboxName)
	if err != nil {
		return nil, err
	}
	defer outbox.Close()
	entries, err := fs.ReadDir(outbox.FS(), ".")
	if err != nil {
		return nil, err
	}
	if len(entries) > maxFiles {
		return nil, fmt.Errorf("the program left more than %d files", maxFiles)
	}
	var out []client.Attachment
	for _, e := range entries {
		a, err := sendOne(ctx, c, outbox, e.Name())
		if err != nil {
			return nil, fmt.Errorf("upload %s: %w", e.Name(), err)
		}
		out = append(out, a)
	}
	return out, nil
}

func sendOne(ctx context.Context, c *client.Client, outbox *os.Root, name string) (client.Attachment, error) {
	f, err := plain(outbox, name)
	if err != nil {
		return client.Attachment{}, err
	}
	defer f.Close()
	if err := keyless(c, f); err != nil {
		return client.Attachment{}, err
	}
	b, err := c.Upload(ctx, f)
	if err != nil {
		return client.Attachment{}, err
	}
	media := b.MediaType
	if media == "" {
		media = mime.TypeByExtension(filepath.Ext(name))
	}
	return client.Attachment{Name: name, MediaType: media, Bytes: b.Bytes, SHA256: b.SHA256}, nil
}

// keyless refuses a text that contains the client's key: whoever reads the
// delivery would act as the worker.
func keyless(c *client.Client, text io.Reader) error {
	const piece, longest = 64 << 10, 64 // a key is shorter
	buf := make([]byte, 0, piece+longest)
	for {
		n, err := io.ReadFull(text, buf[len(buf):len(buf)+piece])
		buf = buf[:len(buf)+n]
		if c.KeyIn(buf) {
			return errOwnKey
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
		buf = buf[:copy(buf, buf[len(buf)-longest:])]
	}
}
