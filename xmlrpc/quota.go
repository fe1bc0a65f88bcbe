package xmlrpc

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"onevolume"
	"onevolume/template"
	"onevolume/xmlrpc/wire"
)

// Quotas are what the methods about quotas do (package inventory). The
// session is the caller's, for oned.
type Quotas interface {
	Quota(ctx context.Context, who onevolume.Caller, of onevolume.QuotaOf) (onevolume.Quota, error)
	SetQuota(ctx context.Context, who onevolume.Caller, session string, of onevolume.QuotaOf, template string) error
}

// quotaMethods are in the manner of one.user.quota, one.group.quota,
// one.userquota.update and one.groupquota.update.
func (s *Server) quotaMethods() []wire.Method {
	of := []wire.Kind{wire.Session, wire.String, wire.Int}
	return []wire.Method{
		{Name: "one.volumequota.info", Help: "Returns the limits of a USER or a GROUP, -1 for the caller's own, with what is used, or DEFAULT_USER or DEFAULT_GROUP",
			Params: of, Func: s.quotaInfo},
		s.audited(wire.Method{Name: "one.volumequota.update", Help: "Sets limits of a USER or a GROUP, or DEFAULT_USER or DEFAULT_GROUP; for oneadmin's group",
			Params: append(of[:3:3], wire.String), Func: s.quotaUpdate}, asksQuota),
	}
}

func quotaOf(call wire.Call) (onevolume.QuotaOf, error) {
	kind, err := onevolume.ParseQuotaKind(strings.ToUpper(call.Text(1)))
	return onevolume.QuotaOf{Kind: kind, ID: call.Int(2, -1)}, err
}

func (s *Server) quotaInfo(ctx context.Context, call wire.Call) (any, error) {
	of, err := quotaOf(call)
	if err != nil {
		return nil, err
	}
	q, err := s.Inventory.Quota(ctx, caller(ctx), of)
	if err != nil {
		return nil, err
	}
	return answer(quotaToXML(q))
}

// quotaUpdate answers with the user's or the group's id, and with -1 for the
// defaults.
func (s *Server) quotaUpdate(ctx context.Context, call wire.Call) (any, error) {
	of, err := quotaOf(call)
	if err != nil {
		return nil, err
	}
	if of.Kind.Default() {
		of.ID = onevolume.DefaultID
	}
	if err := s.Inventory.SetQuota(ctx, caller(ctx), call.Session(), of, call.Text(3)); err != nil {
		return nil, err
	}
	return of.ID, nil
}

// asksQuota keeps whose quota is set, and to what.
func asksQuota(call wire.Call) asked {
	kind := short(strings.ToUpper(call.Text(1)), "?")
	if k := onevolume.QuotaKind(kind); !k.Default() {
		kind += fmt.Sprintf(" %d", call.Int(2, -1))
	}
	a := asks("quota", "of %s: a template that cannot be read", kind)
	list, err := template.Parse(call.Text(3))
	if err != nil {
		return a
	}
	a.text = fmt.Sprintf("of %s:", kind)
	for _, v := range list {
		for _, p := range v.Vector {
			a.text += " " + p.Key + "=" + template.Quote(p.Value)
		}
	}
	return a
}

// volumeQuota is in the shape of VM_QUOTA in oned's USER and GROUP. The
// defaults have nothing that is used.
type volumeQuota struct {
	Size        int64  `xml:"VOLUME>SIZE"`
	SizeUsed    *int64 `xml:"VOLUME>SIZE_USED"`
	Volumes     int64  `xml:"VOLUME>VOLUMES"`
	VolumesUsed *int64 `xml:"VOLUME>VOLUMES_USED"`
}

func limitsToXML(l onevolume.Limits) volumeQuota {
	return volumeQuota{Size: l.SizeMB, Volumes: l.Volumes}
}

func (q volumeQuota) limits() onevolume.Limits {
	return onevolume.Limits{Volumes: q.Volumes, SizeMB: q.Size}
}

type defaultQuotas struct {
	Quota volumeQuota `xml:"VOLUME_QUOTA"`
}

// quotaDocument is rooted USER, GROUP, DEFAULT_USER_QUOTAS or
// DEFAULT_GROUP_QUOTAS.
type quotaDocument struct {
	XMLName      xml.Name
	ID           *int           `xml:"ID"`
	Quota        volumeQuota    `xml:"VOLUME_QUOTA"`
	DefaultUser  *defaultQuotas `xml:"DEFAULT_USER_QUOTAS"`
	DefaultGroup *defaultQuotas `xml:"DEFAULT_GROUP_QUOTAS"`
}

func quotaToXML(q onevolume.Quota) quotaDocument {
	d := quotaDocument{XMLName: xml.Name{Local: string(q.Of.Kind)}, Quota: limitsToXML(q.Limits)}
	if q.Of.Kind.Default() {
		d.XMLName.Local += "_QUOTAS"
		return d
	}
	size := q.Used.Size.MB()
	d.ID, d.Quota.SizeUsed, d.Quota.VolumesUsed = &q.Of.ID, &size, &q.Used.Volumes
	defaults := &defaultQuotas{limitsToXML(q.Defaults)}
	if q.Of.Kind == onevolume.UserQuota {
		d.DefaultUser = defaults
	} else {
		d.DefaultGroup = defaults
	}
	return d
}

func (d quotaDocument) quota() (onevolume.Quota, error) {
	kind, err := onevolume.ParseQuotaKind(strings.TrimSuffix(d.XMLName.Local, "_QUOTAS"))
	q := onevolume.Quota{Of: onevolume.QuotaOf{Kind: kind, ID: onevolume.DefaultID}, Limits: d.Quota.limits(), Defaults: d.Quota.limits()}
	if err != nil || kind.Default() {
		return q, err
	}
	q.Defaults = onevolume.NoLimits()
	for _, defaults := range []*defaultQuotas{d.DefaultUser, d.DefaultGroup} {
		if defaults != nil {
			q.Defaults = defaults.Quota.limits()
		}
	}
	if d.ID == nil || d.Quota.SizeUsed == nil || d.Quota.VolumesUsed == nil {
		return q, onevolume.Errorf(onevolume.Internal, "a quota without an owner, or without what they use")
	}
	q.Of.ID = *d.ID
	q.Used = onevolume.Usage{Volumes: *d.Quota.VolumesUsed, Size: onevolume.Size(*d.Quota.SizeUsed) * onevolume.MiB}
	return q, nil
}

// QuotaXML gives a quota's document as the daemon sent it.
func (c *Client) QuotaXML(ctx context.Context, of onevolume.QuotaOf) (string, error) {
	return c.text(ctx, "one.volumequota.info", string(of.Kind), of.ID)
}

// Quota gives somebody's limits and what they own, its size rounded up to
// MB; the id -1 is the session's own.
func (c *Client) Quota(ctx context.Context, of onevolume.QuotaOf) (onevolume.Quota, error) {
	var d quotaDocument
	if err := c.document(ctx, &d, "one.volumequota.info", string(of.Kind), of.ID); err != nil {
		return onevolume.Quota{}, err
	}
	return d.quota()
}

// SetQuota sets the limits that the template names (package inventory says
// how). It may be repeated.
func (c *Client) SetQuota(ctx context.Context, of onevolume.QuotaOf, template string) error {
	_, err := c.id(ctx, "one.volumequota.update", string(of.Kind), of.ID, template)
	return err
}
