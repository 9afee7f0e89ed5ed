package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// brand renders src/brand/*.html. Chromium is only needed when a picture changes; the pictures are committed.
func brand() error {
	for name, size := range map[string]image.Point{"social": {X: 1200, Y: 630}, "apple-touch-icon": {X: 180, Y: 180}} {
		if err := render(name, size); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func render(name string, size image.Point) error {
	profile, err := os.MkdirTemp("", "guildhall-brand-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(profile)
	page, err := filepath.Abs(filepath.Join(src, "brand", name+".html"))
	if err != nil {
		return err
	}
	shot := filepath.Join(profile, "shot.png")
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--allow-file-access-from-files", "--disable-lcd-text", "--user-data-dir="+profile, "--screenshot="+shot,
		fmt.Sprintf("--window-size=%d,%d", size.X, size.Y), "file://"+page)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	raw, err := os.ReadFile(shot)
	if err != nil {
		return err
	}
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if got := img.Bounds().Size(); got != size {
		return fmt.Errorf("rendered %v, want %v", got, size)
	}
	var out bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&out, reduce(img)); err != nil {
		return err
	}
	fmt.Printf("%-26s %6d bytes\n", name+".png", out.Len())
	return os.WriteFile(filepath.Join(src, "brand", name+".png"), out.Bytes(), 0o644)
}

// reduce keeps the 64 colours that are used most: flat pictures with smooth edges lose nothing the eye sees.
func reduce(img image.Image) image.Image {
	used := map[color.Color]int{}
	box := img.Bounds()
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			used[color.RGBAModel.Convert(img.At(x, y))]++
		}
	}
	palette := slices.SortedFunc(maps.Keys(used), func(a, b color.Color) int { return cmp.Compare(used[b], used[a]) })
	out := image.NewPaletted(box, palette[:min(64, len(palette))])
	draw.Draw(out, box, img, box.Min, draw.Src)
	return out
}
