package handlers

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// stockedJSON is a good as operators see it.
type stockedJSON struct {
	goodJSON
	Offered   bool        `json:"offered"`
	Version   int64       `json:"version"`
	CreatedAt time.Time   `json:"createdAt"`
	Held      int64       `json:"held"`
	Sold      int64       `json:"sold"`
	Expired   int64       `json:"expired"`
	Bad       int64       `json:"bad"`
	Withdrawn int64       `json:"withdrawn"`
	Log       []actedJSON `json:"log,omitempty"`
}

func stockedShape(g market.Stocked) stockedJSON {
	return stockedJSON{goodJSON: goodShape(g.Good), Offered: g.Offered, Version: g.Version, CreatedAt: g.CreatedAt, Held: g.Held, Sold: g.Sold, Expired: g.Expired,
		Bad: g.Bad, Withdrawn: g.Withdrawn}
}

// listGoods is the catalogue with its stock, also what is not on offer.
func (h *Handlers) listGoods(r *request) (answer, error) {
	q := query{r: r}
	limit, before := q.limit(), market.GoodID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	goods, err := h.Store.Goods(r.ctx(), before, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(goods, limit, stockedShape, func(g market.Stocked) any { return map[string]any{"id": g.ID} })
	return answer{json: found, page: func(ctx context.Context) (views.Screen, error) {
		return views.Goods(ctx, views.GoodsView{Goods: goods[:len(found.Items)], Next: text(found.NextCursor), Later: before != ""}), nil
	}}, nil
}

type goodInput struct {
	Kind         market.GoodKind `json:"kind"`
	Name         string          `json:"name"`
	Denomination string          `json:"denomination"`
	Price        int64           `json:"price"`
	Region       string          `json:"region"`
	Terms        string          `json:"terms"`
	Offered      bool            `json:"offered"`
	// Picture is base64 in JSON, and a file in a form.
	Picture string `json:"picture"`
	// Version is the one that a change is of.
	Version int64 `json:"version"`
}

// readGood reads and checks a good.
func (r *request) readGood() (market.GoodDraft, int64, error) {
	var in goodInput
	if r.form != nil && r.form.Get("version") == "" {
		r.form.Set("version", "0")
	}
	if err := r.decode(&in); err != nil {
		return market.GoodDraft{}, 0, err
	}
	d := market.GoodDraft{Kind: in.Kind, Name: in.Name, Denomination: in.Denomination, Price: in.Price, Region: in.Region, Terms: in.Terms, Offered: in.Offered}
	picture, err := []byte(r.form.Get("picture")), error(nil)
	if r.form == nil {
		picture, err = base64.StdEncoding.DecodeString(in.Picture)
	}
	r.form.Del("picture")
	if len(picture) > 0 || err != nil {
		d.Picture, d.PictureType = picture, http.DetectContentType(picture)
	}
	return d, in.Version, r.invalid(d.Clean())
}

// newGood shows the form for a good.
func (h *Handlers) newGood(r *request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.NewGood(ctx, views.Form{Values: url.Values{"kind": {string(market.GiftCard)}, "offered": {"on"}}, Once: newRequestID()}), nil
	}}, nil
}

func (h *Handlers) createGood(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		return views.NewGood(ctx, views.Form{Values: r.form, Once: newRequestID(), Problem: &p}), nil
	}
	d, _, err := r.readGood()
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		g := v.(market.Good)
		return answer{status: http.StatusCreated, json: stockedShape(market.Stocked{Good: g}), location: "/api/v1/admin/goods/" + string(g.ID),
			to: "/admin/goods/" + string(g.ID), flash: views.Message{ID: "flash.good_created"}}
	}
	g, err := h.Store.CreateGood(r.ctx(), r.caller(present), d)
	return present(g), err
}

func (h *Handlers) goodView(ctx context.Context, r *request) (views.GoodView, error) {
	id, err := pathID[market.GoodID](r, "gid")
	if err != nil {
		return views.GoodView{}, err
	}
	g, err := h.Store.StockedGood(ctx, id)
	if err != nil {
		return views.GoodView{}, err
	}
	log, err := h.Store.AdminActions(ctx, string(id), maxLog)
	form := url.Values{"kind": {string(g.Kind)}, "name": {g.Name}, "denomination": {g.Denomination}, "price": {strconv.FormatInt(int64(g.Price), 10)},
		"region": {g.Region}, "terms": {g.Terms}, "version": {strconv.FormatInt(g.Version, 10)}}
	if g.Offered {
		form.Set("offered", "on")
	}
	return views.GoodView{Stocked: g, Log: log, Form: views.Form{Values: form, Once: newRequestID()}, Now: time.Now()}, err
}

func (h *Handlers) showGood(r *request) (answer, error) {
	v, err := h.goodView(r.ctx(), r)
	shape := stockedShape(v.Stocked)
	shape.Log = logShape(v.Log)
	return answer{json: shape, tagged: true, page: func(ctx context.Context) (views.Screen, error) { return views.Good(ctx, v), nil }}, err
}

// changeGood replaces what the good is; its picture stays if none is sent.
func (h *Handlers) changeGood(r *request) (answer, error) {
	id, err := pathID[market.GoodID](r, "gid")
	if err != nil {
		return answer{}, err
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.goodView(ctx, r)
		v.Form = views.Form{Values: r.form, Once: newRequestID(), Problem: &p}
		return views.Good(ctx, v), err
	}
	d, version, err := r.readGood()
	if err != nil {
		return answer{}, err
	}
	present := func(v any) answer {
		g := v.(market.Good)
		return answer{json: stockedShape(market.Stocked{Good: g}), to: "/admin/goods/" + string(g.ID), flash: views.Message{ID: "flash.good_changed"}}
	}
	_, err = h.Store.ChangeGood(r.ctx(), r.caller(present), id, version, d)
	if err != nil {
		return answer{}, err
	}
	g, err := h.Store.StockedGood(r.ctx(), id)
	a := present(g.Good)
	a.json = stockedShape(g)
	return a, err
}

type importInput struct {
	CSV string `json:"csv"`
}

type importedJSON struct {
	GoodID     market.GoodID `json:"goodId"`
	Added      int           `json:"added"`
	Duplicates int           `json:"duplicates"`
	Stock      int64         `json:"stock"`
}

// importCodes adds the codes of a CSV file to the good's stock: all of them,
// or with one bad line none. Sending a file again adds nothing twice.
func (h *Handlers) importCodes(r *request) (answer, error) {
	id, err := pathID[market.GoodID](r, "gid")
	if err != nil {
		return answer{}, err
	}
	var in importInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	r.form.Del("csv") // it is not shown again
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v, err := h.goodView(ctx, r)
		v.Import = &p
		return views.Good(ctx, v), err
	}
	if _, err := h.Store.Good(r.ctx(), id); err != nil {
		return answer{}, err
	}
	codes, bad := readStock(in.CSV, time.Now())
	if err := market.Invalid(bad); err != nil {
		return answer{}, err
	}
	added, err := h.Store.ImportCodes(r.ctx(), r.by, id, codes)
	if err != nil {
		return answer{}, err
	}
	g, err := h.Store.Good(r.ctx(), id)
	return answer{json: importedJSON{id, added, len(codes) - added, g.Stock}, to: "/admin/goods/" + string(id),
		flash: views.Message{ID: "flash.imported", Args: map[string]any{"Added": views.Number(added), "Doubles": views.Number(len(codes) - added)}}}, err
}

// maxBadLines is how many lines of a file are named that are not valid.
const maxBadLines = 20

// readStock reads "code" or "code,expires" a line, with or without that
// heading. What is wrong is told by line, without anything of the code.
func readStock(text string, now time.Time) ([]market.Stock, []market.FieldError) {
	in := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	in.FieldsPerRecord = -1
	var out []market.Stock
	var bad []market.FieldError
	refuse := func(code string, args map[string]any) {
		bad = append(bad, market.FieldError{Pointer: "/csv", Code: code, Args: args})
	}
	for first := true; ; first = false {
		record, err := in.Read()
		var fault *csv.ParseError
		switch {
		case err == io.EOF && len(out)+len(bad) == 0:
			refuse("csv_nothing", nil)
			fallthrough
		case err == io.EOF:
			return out, firstFew(bad)
		case errors.As(err, &fault):
			refuse("csv_read", map[string]any{"Line": fault.Line})
			return out, firstFew(bad) // where the next line begins is a guess
		}
		line, _ := in.FieldPos(0)
		if first && strings.EqualFold(strings.TrimSpace(record[0]), "code") {
			continue
		}
		s, code, args := readLine(record)
		if code == "" {
			code = market.CleanStock(s, now)
		}
		if code != "" {
			args["Line"] = line
			refuse(code, args)
		}
		if out = append(out, s); len(out) > market.MaxImport {
			refuse("csv_many", map[string]any{"Max": market.MaxImport})
			return nil, firstFew(bad)
		}
	}
}

// readLine reads one record, or says what is wrong with it.
func readLine(record []string) (s market.Stock, code string, args map[string]any) {
	args = map[string]any{}
	if len(record) > 2 {
		args["Count"] = len(record)
		return s, "csv_columns", args
	}
	s.Code = strings.TrimSpace(record[0])
	if len(record) < 2 || strings.TrimSpace(record[1]) == "" {
		return s, "", args
	}
	ends, err := readEnd(strings.TrimSpace(record[1]))
	if err != nil {
		return s, "csv_expires", args
	}
	s.ExpiresAt = &ends
	return s, "", args
}

// readEnd reads a time, or the last day on which a code is valid, in UTC.
func readEnd(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	return t.UTC(), err
}

func firstFew(bad []market.FieldError) []market.FieldError {
	if more := len(bad) - maxBadLines; more > 0 {
		return append(bad[:maxBadLines:maxBadLines], market.FieldError{Pointer: "/csv", Code: "csv_more", Args: map[string]any{"Count": more}})
	}
	return bad
}
