package openfiler

import (
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/array"
)

// settings is iscsi_settings.xml, the master of all targets.
type settings struct{ *document }

func parseSettings(text string) (settings, error) {
	d, err := newDocument(text, "iet", "targets")
	return settings{d}, err
}

// defaults are what the web pages give a new target, in their order
// (Openfiler 2.99).
var defaults = []setting{
	{"HeaderDigest", "None"}, {"DataDigest", "None"}, {"MaxConnections", "1"}, {"InitialR2T", "Yes"},
	{"ImmediateData", "No"}, {"MaxRecvDataSegmentLength", "131072"}, {"MaxXmitDataSegmentLength", "131072"},
	{"MaxBurstLength", "262144"}, {"FirstBurstLength", "262144"}, {"DefaultTime2Wait", "2"},
	{"DefaultTime2Retain", "20"}, {"MaxOutstandingR2T", "8"}, {"DataPDUInOrder", "Yes"},
	{"DataSequenceInOrder", "Yes"}, {"ErrorRecoveryLevel", "0"}, {"Wthreads", "16"}, {"QueuedCommands", "32"},
}

type setting struct{ name, value string }

// record is what the file has of a volume's target.
type record struct {
	settings []setting
	units    []unit
	// grants are the users of ours: each says whose it is in an attribute of
	// our own, which the pages keep and do not use.
	grants []array.Grant
}

type unit struct{ id, path, kind, scsiID, serial, mode string }

// forInitiator is our attribute of an IncomingUser.
const forInitiator = "initiator"

// find gives the target's element, and what is in it; nil for none.
func (s settings) find(iqn onevolume.IQN) (*node, record) {
	for _, t := range s.list.all("target") {
		if strings.EqualFold(t.attr("Name"), string(iqn)) {
			return t, readRecord(t)
		}
	}
	return nil, record{settings: defaults}
}

func readRecord(t *node) (r record) {
	for _, k := range t.kids {
		switch k.name {
		case "lun":
			r.units = append(r.units, unit{k.attr("Id"), k.attr("Path"), k.attr("Type"), k.attr("ScsiId"), k.attr("ScsiSN"), k.attr("IOMode")})
		case "IncomingUser":
			g := array.Grant{Initiator: onevolume.IQN(k.attr(forInitiator)), CHAP: onevolume.CHAP{User: k.attr("username"), Secret: k.attr("password")}}
			// Without it, the user is somebody else's, and goes.
			if array.CheckGrant(g) == nil {
				r.grant(g)
			}
		case "OutgoingUser":
		default:
			r.settings = append(r.settings, setting{k.name, k.attr("value")})
		}
	}
	return r
}

func (r *record) grant(g array.Grant) {
	r.revoke(g.Initiator)
	r.grants = append(r.grants, g)
	slices.SortFunc(r.grants, func(a, b array.Grant) int { return strings.Compare(string(a.Initiator), string(b.Initiator)) })
}

func (r *record) revoke(initiator onevolume.IQN) {
	r.grants = slices.DeleteFunc(r.grants, func(g array.Grant) bool { return g.Initiator == initiator })
}

// element is the target's, laid out as PHP's DOM does it.
func (r record) element(iqn onevolume.IQN) string {
	if len(r.grants) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<target Name=\"%s\">\n", quoted(string(iqn)))
	for _, s := range r.settings {
		fmt.Fprintf(&b, "      <%s value=\"%s\"/>\n", s.name, quoted(s.value))
	}
	for _, g := range r.grants {
		fmt.Fprintf(&b, "      <IncomingUser username=\"%s\" password=\"%s\" %s=\"%s\"/>\n",
			quoted(g.CHAP.User), quoted(g.CHAP.Secret), forInitiator, quoted(string(g.Initiator)))
	}
	for _, u := range r.units {
		fmt.Fprintf(&b, "      <lun Id=\"%s\" Path=\"%s\" Type=\"%s\" ScsiId=\"%s\" ScsiSN=\"%s\" IOMode=\"%s\"/>\n",
			quoted(u.id), quoted(u.path), quoted(u.kind), quoted(u.scsiID), quoted(u.serial), quoted(u.mode))
	}
	b.WriteString("    </target>")
	return b.String()
}

// params are the settings as ietadm takes them. The pages write an Alias too,
// which it does not know.
func (r record) params() string {
	var list []string
	for _, s := range r.settings {
		if slices.ContainsFunc(defaults, func(d setting) bool { return d.name == s.name }) {
			list = append(list, s.name+"="+s.value)
		}
	}
	return strings.Join(list, ",")
}

// written are the settings that the pages write to ietd.conf, in their order.
// They leave Wthreads and QueuedCommands out.
var written = func() (names []string) {
	for _, s := range defaults[:15] {
		names = append(names, s.name)
	}
	return names
}()

// conf makes /etc/ietd.conf of the settings, as the pages' style sheet
// (iscsi_settings.xsl of Openfiler 2.99) does whenever one of them is looked
// at. The first line alone is not theirs.
func (s settings) conf() string {
	var b strings.Builder
	b.WriteString("# Made of iscsi_settings.xml, as Openfiler's web pages do it. Changes are lost.\n \n \n")
	for _, g := range s.root.all("globalsettings") {
		for _, i := range g.all("isns") {
			if server := i.attr("server"); server != "" {
				fmt.Fprintf(&b, "\tiSNSServer \t%s\n", server)
			}
		}
	}
	for _, g := range s.root.all("globalsettings") {
		confUsers(&b, g)
	}
	b.WriteString("\n \n")
	for _, t := range s.list.all("target") {
		fmt.Fprintf(&b, "Target %s\n", t.attr("Name"))
		for _, name := range written {
			for _, k := range t.all(name) {
				fmt.Fprintf(&b, "\t%s %s\n", name, k.attr("value"))
			}
		}
		confUsers(&b, t)
		for _, l := range t.all("lun") {
			fmt.Fprintf(&b, "\tLun %s Path=%s,Type=%s,ScsiSN=%s,ScsiId=%s,IOMode=%s\n",
				l.attr("Id"), l.attr("Path"), l.attr("Type"), l.attr("ScsiSN"), l.attr("ScsiId"), l.attr("IOMode"))
		}
		b.WriteString("\n\n")
	}
	return b.String()
}

func confUsers(b *strings.Builder, n *node) {
	for _, name := range []string{"IncomingUser", "OutgoingUser"} {
		for _, u := range n.all(name) {
			fmt.Fprintf(b, "\t%s %s %s\n", name, u.attr("username"), u.attr("password"))
		}
	}
}
