package xmlrpc

import (
	"context"
	"encoding/xml"
	"strings"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Spaces knows how much room arrays have. Spaces asks no array; Refresh asks
// one now.
type Spaces interface {
	Spaces(ctx context.Context) ([]onevolume.Space, error)
	Types() []onevolume.VolumeType
	Refresh(ctx context.Context, name string) (onevolume.Space, error)
}

func (s *Server) spaceMethods() []wire.Method {
	return []wire.Method{
		{Name: "one.volume.arrayinfo", Help: "Returns the arrays that make volumes, and how much room they have as they said last",
			Params: []wire.Kind{wire.Session}, Func: s.arrayInfo},
		{Name: "one.volume.arraychoose", Help: "Returns the arrays on which a volume would be made, the one that would be taken first, and what speaks against each other",
			Params: []wire.Kind{wire.Session, wire.String}, Func: s.arrayChoose},
		s.audited(wire.Method{Name: "one.volume.arraycheck", Help: "Asks an array that makes volumes how it is, now; for oneadmin's group",
			Params: []wire.Kind{wire.Session, wire.String}, Func: s.arrayCheck}, func(call wire.Call) asked {
			a := asks("array check", "array %q", call.Text(1))
			a.minor = true
			return a
		}),
	}
}

func (s *Server) arrayInfo(ctx context.Context, _ wire.Call) (any, error) {
	pool := arrayPoolDocument{XMLName: xml.Name{Local: "ARRAY_POOL"}}
	if s.Spaces != nil {
		list, err := s.Spaces.Spaces(ctx)
		if err != nil {
			return nil, err
		}
		for _, space := range list {
			// What went wrong may tell of the array's insides.
			pool.Arrays = append(pool.Arrays, spaceToXML(space, caller(ctx).IsAdmin()))
		}
	}
	if s.Spaces != nil {
		for _, t := range s.Spaces.Types() {
			pool.Types = append(pool.Types, typeToXML(t))
		}
	}
	return answer(pool)
}

func (s *Server) arrayChoose(ctx context.Context, call wire.Call) (any, error) {
	list, err := s.Inventory.Candidates(ctx, caller(ctx), call.Text(1))
	if err != nil {
		return nil, err
	}
	pool := arrayPoolDocument{XMLName: xml.Name{Local: "ARRAY_POOL"}}
	for _, c := range list {
		d := spaceToXML(c.Space, caller(ctx).IsAdmin())
		d.Why = &cdata{c.Why}
		pool.Arrays = append(pool.Arrays, d)
	}
	return answer(pool)
}

func (s *Server) arrayCheck(ctx context.Context, call wire.Call) (any, error) {
	if who := caller(ctx); !who.IsAdmin() {
		return nil, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME.", who.UID).
			WithHint("only oneadmin's group has arrays asked")
	}
	if s.Spaces == nil {
		return nil, onevolume.Errorf(onevolume.NotFound, "no array that makes volumes is configured").
			WithHint("arrays stand in the daemon's configuration, under arrays")
	}
	space, err := s.Spaces.Refresh(ctx, call.Text(1))
	if err == nil && s.Access != nil {
		space.Findings, err = s.Access.Compare(ctx, call.Text(1))
	}
	if err != nil {
		return nil, err
	}
	return answer(arrayPoolDocument{XMLName: xml.Name{Local: "ARRAY_POOL"}, Arrays: []spaceDocument{spaceToXML(space, true)}})
}

type arrayPoolDocument struct {
	XMLName xml.Name        `xml:"ARRAY_POOL"`
	Arrays  []spaceDocument `xml:"ARRAY"`
	Types   []typeDocument  `xml:"TYPE"`
}

// typeDocument is a type of volumes. Names stand in a row, with blanks between
// them; limits are those of libvirt's iotune.
type typeDocument struct {
	Name   cdata `xml:"NAME"`
	Arrays cdata `xml:"ARRAYS"`
	Needs  cdata `xml:"NEEDS"`
	IOTune cdata `xml:"IOTUNE"`
}

func typeToXML(t onevolume.VolumeType) typeDocument {
	return typeDocument{Name: cdata{t.Name}, Arrays: cdata{strings.Join(t.Arrays, " ")}, Needs: cdata{strings.Join(t.Needs, " ")}, IOTune: cdata{t.Tune.String()}}
}

func (d typeDocument) volumeType() (onevolume.VolumeType, error) {
	limits := map[string]string{}
	for _, pair := range strings.Fields(d.IOTune.Text) {
		name, n, _ := strings.Cut(pair, "=")
		limits[name] = n
	}
	tune, err := onevolume.ParseIOTune(limits)
	return onevolume.VolumeType{Name: d.Name.Text, Arrays: strings.Fields(d.Arrays.Text), Needs: strings.Fields(d.Needs.Text), Tune: tune}, err
}

// spaceDocument is an array's room in bytes; -1 is unknown.
type spaceDocument struct {
	Name        cdata `xml:"NAME"`
	Kind        cdata `xml:"KIND"`
	Vendor      cdata `xml:"VENDOR"`
	Model       cdata `xml:"MODEL"`
	Version     cdata `xml:"VERSION"`
	Total       int64 `xml:"TOTAL_BYTES"`
	Free        int64 `xml:"FREE_BYTES"`
	Used        int64 `xml:"USED_BYTES"`
	Provisioned int64 `xml:"PROVISIONED_BYTES"`
	Limit       int64 `xml:"LIMIT_BYTES"`
	Volumes     int   `xml:"VOLUMES"`
	AutoCreate  bool  `xml:"AUTO_CREATE"`
	Users       bool  `xml:"USERS"`
	Has         cdata `xml:"HAS"` // with blanks between them
	Trouble     cdata `xml:"TROUBLE"`
	Error       cdata `xml:"ERROR"`
	Time        int64 `xml:"TIME"` // milliseconds since 1970; 0 when it never answered

	Findings []cdata `xml:"FINDING"`
	Why      *cdata  `xml:"WHY"`
}

func spaceToXML(s onevolume.Space, whole bool) spaceDocument {
	d := spaceDocument{Name: cdata{s.Array}, Kind: cdata{s.Kind}, Vendor: cdata{s.Vendor}, Model: cdata{s.Model}, Version: cdata{s.Version},
		Total: int64(s.Total), Free: int64(s.Free), Used: int64(s.Used), Provisioned: int64(s.Provisioned), Limit: int64(s.Limit),
		Volumes: s.Volumes, AutoCreate: s.AutoCreate, Users: s.Users, Time: millis(s.Time),
		Has: cdata{strings.Join(s.Has, " ")}}
	if whole {
		d.Trouble, d.Error = cdata{s.Trouble}, cdata{s.Error}
		for _, text := range s.Findings {
			d.Findings = append(d.Findings, cdata{text})
		}
	}
	return d
}

func (d spaceDocument) space() onevolume.Space {
	var findings []string
	for _, f := range d.Findings {
		findings = append(findings, f.Text)
	}
	return onevolume.Space{Findings: findings, Array: d.Name.Text, Kind: d.Kind.Text, Vendor: d.Vendor.Text, Model: d.Model.Text, Version: d.Version.Text,
		Total: onevolume.Size(d.Total), Free: onevolume.Size(d.Free), Used: onevolume.Size(d.Used), Provisioned: onevolume.Size(d.Provisioned),
		Limit: onevolume.Size(d.Limit), Volumes: d.Volumes, AutoCreate: d.AutoCreate, Users: d.Users, Has: strings.Fields(d.Has.Text), Trouble: d.Trouble.Text, Error: d.Error.Text,
		Time: fromMillis(d.Time)}
}

// Arrays lists the arrays that make volumes, by name.
func (c *Client) Arrays(ctx context.Context) ([]onevolume.Space, error) {
	return c.spaces(ctx, "one.volume.arrayinfo")
}

// Types lists the types of volumes that are made.
func (c *Client) Types(ctx context.Context) ([]onevolume.VolumeType, error) {
	var d arrayPoolDocument
	if err := c.document(ctx, &d, "one.volume.arrayinfo"); err != nil {
		return nil, err
	}
	var list []onevolume.VolumeType
	for _, one := range d.Types {
		t, err := one.volumeType()
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// Candidates lists the arrays on which the volume of a template would be made.
func (c *Client) Candidates(ctx context.Context, template string) ([]onevolume.Candidate, error) {
	var d arrayPoolDocument
	if err := c.document(ctx, &d, "one.volume.arraychoose", template); err != nil {
		return nil, err
	}
	var list []onevolume.Candidate
	for _, one := range d.Arrays {
		x := onevolume.Candidate{Space: one.space()}
		if one.Why != nil {
			x.Why = one.Why.Text
		}
		list = append(list, x)
	}
	return list, nil
}

// CheckArray has an array asked how it is, now.
func (c *Client) CheckArray(ctx context.Context, name string) (onevolume.Space, error) {
	list, err := c.spaces(ctx, "one.volume.arraycheck", name)
	if err == nil && len(list) != 1 {
		err = onevolume.Errorf(onevolume.Internal, "one.volume.arraycheck: the daemon answered with %d arrays", len(list))
	}
	if err != nil {
		return onevolume.Space{}, err
	}
	return list[0], nil
}

func (c *Client) spaces(ctx context.Context, method string, params ...any) ([]onevolume.Space, error) {
	var d arrayPoolDocument
	if err := c.document(ctx, &d, method, params...); err != nil {
		return nil, err
	}
	var list []onevolume.Space
	for _, one := range d.Arrays {
		list = append(list, one.space())
	}
	return list, nil
}
