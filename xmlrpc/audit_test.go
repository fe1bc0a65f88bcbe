package xmlrpc_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"onevolume"
	"onevolume/inventory"
)

// marker is a secret that must not get into the audit.
const marker = "MaRkEr-0f-A-sEcReT"

// deeds are those there are, the oldest first.
func (w *world) deeds() []onevolume.Deed {
	w.Helper()
	list, err := w.db.History(w.Context(), onevolume.History{Viewer: root, Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: -1})
	if err != nil {
		w.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

// scene is a volume of alice's that is free, one attached to VM 17 of hers,
// and a parked operation on a third.
type scene struct {
	*world
	free, attached, failed onevolume.VolumeID
	parked                 onevolume.Operation
}

func newScene(t testing.TB) *scene {
	w := newWorld(t)
	s := &scene{world: w, free: w.given("free"), attached: w.given("attached"), failed: w.given("failed")}
	s.end(s.reserve("attached"), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
	s.parked = s.reserve("failed")
	s.end(s.parked, onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "step plug: no"})
	return s
}

func (s *scene) reserve(volume string) onevolume.Operation {
	s.Helper()
	op, _, err := (&inventory.Service{Store: s.db}).Ledger(root).Reserve(s.Context(), request(volume))
	if err != nil {
		s.Fatal(err)
	}
	return op
}

func (s *scene) end(op onevolume.Operation, e onevolume.Ending) {
	s.Helper()
	if err := s.db.Finish(s.Context(), op.Ref(), e); err != nil {
		s.Fatal(err)
	}
}

// Every method that changes something, with what the audit says of it when it
// succeeds and when it is refused.
func TestEveryChangeIsAudited(t *testing.T) {
	t.Parallel()
	const chap = "CHAP_USER = u\nCHAP_SECRET = \"" + marker + "\"\n"
	type deed struct {
		action, request, result string
		volume                  onevolume.VolumeID
		vm                      onevolume.VMID
		operation               bool
	}
	none, noVM := onevolume.NoVolume, onevolume.NoVM
	doc := func(s string) string { return str(strings.ReplaceAll(s, "<", "&lt;")) }
	reserve := func(kind, volume, more string) string {
		return doc("<REQUEST><KIND>" + kind + "</KIND><VM><ID>17</ID><HOSTNAME>host01</HOSTNAME></VM><VOLUME>" + volume +
			"</VOLUME><OWNER>me pid 1</OWNER><LEASE_MS>60000</LEASE_MS>" + more + "</REQUEST>")
	}
	type deeds []deed
	var tried sync.Map
	cases := []struct {
		name    string
		session string
		call    func(s *scene) (method string, params []string)
		want    func(s *scene) deeds
	}{
		{"create", asRoot, func(*scene) (string, []string) {
			return "one.volume.allocate", []string{str(template("new")[:strings.Index(template("new"), "CHAP_USER")] + chap + "COLOUR = \"hidden\"")}
		}, func(*scene) deeds {
			return deeds{{"create", `NAME="new" IQN="iqn.2026-11.test:new" PORTALS="10.0.0.1" SIZE="64" CHAP_USER="u" and CHAP_SECRET, COLOUR`, "ok", 3, noVM, false}}
		}},
		{"create forbidden", asAlice, func(*scene) (string, []string) {
			return "one.volume.allocate", []string{str("NAME = x\n" + chap)}
		}, func(*scene) deeds {
			return deeds{{"create", `NAME="x" CHAP_USER="u" and CHAP_SECRET`, "User [5] : Not authorized to perform CREATE VOLUME.", none, noVM, false}}
		}},
		{"create unreadable", asRoot, func(*scene) (string, []string) {
			return "one.volume.allocate", []string{str("CHAP_SECRET =\n" + strings.ReplaceAll(marker, "-", "_") + " x\nNAME = \"open")}
		}, func(*scene) deeds {
			return deeds{{"create", "a template that cannot be read", "Parse error: line 2, column 20.", none, noVM, false}}
		}},
		{"create with the secret in the wrong place", asRoot, func(*scene) (string, []string) {
			return "one.volume.allocate", []string{str(template("new") + "ARRAY = \"" + marker + " x\"\nCHAP_SECRET_IN = \"" + marker + " x\"")}
		}, func(*scene) deeds {
			return deeds{{"create", `NAME="new" IQN="iqn.2026-11.test:new" PORTALS="10.0.0.1" SIZE="64" CHAP_USER="u" ARRAY="********" and CHAP_SECRET, CHAP_SECRET_IN`,
				`ARRAY "********": at most 128 printable ASCII characters without blanks`, none, noVM, false}}
		}},
		{"update", asRoot, func(s *scene) (string, []string) {
			return "one.volume.update", []string{num(int(s.free)), str(chap + "PASSWORD = \"" + marker + "\"\nSIZE = 128"), num(1)}
		}, func(s *scene) deeds {
			return deeds{{"update", `append: CHAP_USER="u" SIZE="128" and CHAP_SECRET, PASSWORD`, "ok", s.free, noVM, false}}
		}},
		{"update refused", asAlice, func(s *scene) (string, []string) {
			return "one.volume.update", []string{num(int(s.free)), str("CHAP_SECRET = " + marker)}
		}, func(s *scene) deeds {
			return deeds{{"update", "replace: and CHAP_SECRET", "User [5] : Not authorized to perform ADMIN VOLUME [0].", s.free, noVM, false}}
		}},
		{"rename", asAlice, func(s *scene) (string, []string) { return "one.volume.rename", []string{num(int(s.free)), str("new")} },
			func(s *scene) deeds { return deeds{{"rename", `to "new"`, "ok", s.free, noVM, false}} }},
		{"rename forbidden", asBob, func(s *scene) (string, []string) { return "one.volume.rename", []string{num(int(s.free)), str("new")} },
			func(s *scene) deeds {
				return deeds{{"rename", `to "new"`, "User [6] : Not authorized to perform MANAGE VOLUME [0].", s.free, noVM, false}}
			}},
		{"chmod", asAlice, func(s *scene) (string, []string) {
			return "one.volume.chmod", []string{num(int(s.free)), num(1), num(1), num(0), num(1), num(0), num(0), num(0), num(0), num(0)}
		}, func(s *scene) deeds { return deeds{{"chmod", "640", "ok", s.free, noVM, false}} }},
		{"chmod some", asAlice, func(s *scene) (string, []string) {
			return "one.volume.chmod", []string{num(int(s.free)), num(-1), num(1), num(-1), num(-1), num(0), num(-1), num(7), num(-1), num(-1)}
		}, func(s *scene) deeds {
			return deeds{{"chmod", ".m. .-. ...", "New permission values must be -1, 0 or 1", s.free, noVM, false}}
		}},
		{"quota", asRoot, func(*scene) (string, []string) {
			return "one.volumequota.update", []string{str("USER"), num(5), str("VOLUME = [ VOLUMES = 3, SIZE = -2 ]")}
		}, func(*scene) deeds {
			return deeds{{"quota", `of USER 5: VOLUMES="3" SIZE="-2"`, "ok", none, noVM, false}}
		}},
		{"quota by default", asRoot, func(*scene) (string, []string) {
			return "one.volumequota.update", []string{str("DEFAULT_GROUP"), num(5), str("VOLUME = [ SIZE = -7 ]")}
		}, func(*scene) deeds {
			return deeds{{"quota", `of DEFAULT_GROUP: SIZE="-7"`, "*", none, noVM, false}}
		}},
		{"quota forbidden", asAlice, func(*scene) (string, []string) {
			return "one.volumequota.update", []string{str("USER"), num(5), str("VOLUME = [ VOLUMES = 3 ]")}
		}, func(*scene) deeds {
			return deeds{{"quota", `of USER 5: VOLUMES="3"`, "User [5] : Not authorized to perform ADMIN USER [5].", none, noVM, false}}
		}},
		{"quota unreadable", asRoot, func(*scene) (string, []string) {
			return "one.volumequota.update", []string{str("USER"), num(5), str("VOLUME = [")}
		}, func(*scene) deeds {
			return deeds{{"quota", "of USER 5: a template that cannot be read", "*", none, noVM, false}}
		}},
		{"chown", asRoot, func(s *scene) (string, []string) {
			return "one.volume.chown", []string{num(int(s.free)), num(6), num(-1)}
		},
			func(s *scene) deeds { return deeds{{"chown", "to user 6", "ok", s.free, noVM, false}} }},
		{"chown of both", asRoot, func(s *scene) (string, []string) {
			return "one.volume.chown", []string{num(int(s.free)), num(6), num(101)}
		},
			func(s *scene) deeds { return deeds{{"chown", "to user 6, group 101", "ok", s.free, noVM, false}} }},
		{"chown forbidden", asAlice, func(s *scene) (string, []string) {
			return "one.volume.chown", []string{num(int(s.free)), num(6), num(-1)}
		},
			func(s *scene) deeds {
				return deeds{{"chown", "to user 6", "User [5] : Not authorized to perform MANAGE USER [6].", s.free, noVM, false}}
			}},
		{"chgrp to nowhere", asAlice, func(s *scene) (string, []string) {
			return "one.volume.chown", []string{num(int(s.free)), num(-1), num(77)}
		},
			func(s *scene) deeds {
				return deeds{{"chown", "to group 77", "Error getting group [77].", s.free, noVM, false}}
			}},
		{"lock", asAlice, func(s *scene) (string, []string) { return "one.volume.lock", []string{num(int(s.free)), num(4)} },
			func(s *scene) deeds { return deeds{{"lock", "All", "ok", s.free, noVM, false}} }},
		{"lock of a wrong level", asAlice, func(s *scene) (string, []string) { return "one.volume.lock", []string{num(int(s.free)), num(5)} },
			func(s *scene) deeds {
				return deeds{{"lock", "LockLevel(5)", "Wrong lock level specified", s.free, noVM, false}}
			}},
		{"unlock", asAlice, func(s *scene) (string, []string) {
			s.locked(s.free)
			return "one.volume.unlock", []string{num(int(s.free))}
		}, func(s *scene) deeds { return deeds{{"unlock", "", "ok", s.free, noVM, false}} }},
		{"unlock forbidden", asBob, func(s *scene) (string, []string) {
			s.locked(s.free)
			return "one.volume.unlock", []string{num(int(s.free))}
		}, func(s *scene) deeds {
			return deeds{{"unlock", "", "User [6] : Not authorized to perform MANAGE VOLUME [0].", s.free, noVM, false}}
		}},
		{"disable", asAlice, func(s *scene) (string, []string) {
			return "one.volume.enable", []string{num(int(s.free)), "<boolean>0</boolean>"}
		}, func(s *scene) deeds { return deeds{{"disable", "", "ok", s.free, noVM, false}} }},
		{"disable refused", asAlice, func(s *scene) (string, []string) {
			return "one.volume.enable", []string{num(int(s.attached)), "<boolean>0</boolean>"}
		}, func(s *scene) deeds {
			return deeds{{"disable", "", "Could not disable volume: Volume cannot be in state ATTACHED.", s.attached, noVM, false}}
		}},
		{"resize", asRoot, func(s *scene) (string, []string) { return "one.volume.resize", []string{num(int(s.free)), str("128")} },
			func(s *scene) deeds { return deeds{{"resize", "to 128", "ok", s.free, noVM, false}} }},
		{"resize refused", asRoot, func(s *scene) (string, []string) { return "one.volume.resize", []string{num(int(s.free)), str("x")} },
			func(s *scene) deeds {
				return deeds{{"resize", "to x", `size "x": not a number with a unit`, s.free, noVM, false}}
			}},
		{"delete", asAlice, func(s *scene) (string, []string) { return "one.volume.delete", []string{num(int(s.free))} },
			func(s *scene) deeds { return deeds{{"delete", "", "ok", s.free, noVM, false}} }},
		{"delete of nothing", asAlice, func(*scene) (string, []string) { return "one.volume.delete", []string{num(77)} },
			func(*scene) deeds { return deeds{{"delete", "", "Error getting volume [77].", 77, noVM, false}} }},
		{"attach refused", asAlice, func(s *scene) (string, []string) {
			s.op.err = onevolume.Errorf(onevolume.NoneFits, "No free volume of at least 3G")
			return "one.volume.attach", []string{num(17), num(-1), num(3072), str("ARRAY = of1\nEXACT = YES")}
		}, func(*scene) deeds {
			return deeds{{"attach", "of exactly 3G (3221225472 bytes) on array of1", "No free volume of at least 3G", none, 17, false}}
		}},
		{"attach unreadable", asAlice, func(*scene) (string, []string) {
			return "one.volume.attach", []string{num(17), num(2), num(0), str("FOO = 1")}
		}, func(*scene) deeds {
			return deeds{{"attach", "a request that cannot be read", "template: attribute FOO is not known here; there are EXACT, ARRAY, SIZE_BYTES", 2, 17, false}}
		}},
		{"detach refused", asAlice, func(s *scene) (string, []string) {
			s.op.err = onevolume.Errorf(onevolume.Forbidden, "Not authorized")
			return "one.volume.detach", []string{num(17), num(int(s.attached)), str(`FORMAT = "none"`)}
		}, func(s *scene) deeds {
			return deeds{{"detach", `FORMAT = "none"`, "Not authorized", s.attached, 17, false}}
		}},
		{"reserve an attach", asRoot, func(*scene) (string, []string) { return "one.volume.reserve", []string{reserve("attach", "free", "")} },
			func(s *scene) deeds { return deeds{{"attach", "volume free", "begun", s.free, 17, true}} }},
		{"reserve a detach", asRoot, func(*scene) (string, []string) {
			return "one.volume.reserve", []string{reserve("detach", "1", "<LEAVE>data</LEAVE>")}
		}, func(s *scene) deeds {
			return deeds{{"detach", `volume 1 FORMAT="none"`, "begun", s.attached, 17, true}}
		}},
		{"reserve a replug", asRoot, func(*scene) (string, []string) { return "one.volume.reserve", []string{reserve("replug", "1", "")} },
			func(s *scene) deeds { return deeds{{"replug", "volume 1", "begun", s.attached, 17, true}} }},
		{"reserve what is not there", asRoot, func(*scene) (string, []string) { return "one.volume.reserve", []string{reserve("detach", "0", "")} },
			func(s *scene) deeds { return deeds{{"detach", `volume 0 FORMAT="zero"`, "*", s.free, 17, false}} }},
		{"reserve nonsense", asRoot, func(*scene) (string, []string) { return "one.volume.reserve", []string{str("junk")} },
			func(*scene) deeds {
				return deeds{{"reserve", "a request that cannot be read", "*", none, noVM, false}}
			}},
		{"reserve forbidden", asAlice, func(*scene) (string, []string) { return "one.volume.reserve", []string{reserve("attach", "free", "")} },
			func(*scene) deeds {
				return deeds{{"attach", "volume free", "User [5] : Not authorized to perform ADMIN VOLUME.", none, 17, false}}
			}},
		{"dry run", asRoot, func(*scene) (string, []string) {
			return "one.volume.reserve", []string{reserve("attach", "free", "<DRY_RUN>true</DRY_RUN>")}
		}, func(*scene) deeds { return nil }},
		{"dry run that fails", asRoot, func(*scene) (string, []string) {
			return "one.volume.reserve", []string{reserve("attach", "nosuch", "<DRY_RUN>true</DRY_RUN>")}
		}, func(*scene) deeds { return nil }},
		{"dry run forbidden", asAlice, func(*scene) (string, []string) {
			return "one.volume.reserve", []string{reserve("attach", "free", "<DRY_RUN>true</DRY_RUN>")}
		}, func(*scene) deeds {
			return deeds{{"attach", "dry run: volume free", "User [5] : Not authorized to perform ADMIN VOLUME.", none, 17, false}}
		}},
		{"journal forbidden", asAlice, func(s *scene) (string, []string) {
			return "one.volume.journal", []string{num(s.parked.ID), num(1), doc("<RECORD></RECORD>")}
		}, func(s *scene) deeds {
			return deeds{{"journal", "", "User [5] : Not authorized to perform ADMIN VOLUME.", s.failed, 17, true}}
		}},
		{"journal of an operation that has ended", asRoot, func(s *scene) (string, []string) {
			return "one.volume.journal", []string{num(s.parked.ID), num(1), doc("<RECORD></RECORD>")}
		}, func(*scene) deeds { return nil }},
		{"grant forbidden", asAlice, func(s *scene) (string, []string) {
			return "one.volume.grant", []string{num(s.parked.ID), num(1), str("iqn.2026-11.org.example:host01")}
		}, func(s *scene) deeds {
			return deeds{{"grant", "", "User [5] : Not authorized to perform ADMIN VOLUME.", s.failed, 17, true}}
		}},
		{"revoke without arrays", asRoot, func(s *scene) (string, []string) {
			return "one.volume.revoke", []string{num(s.parked.ID), num(1), str("")}
		}, func(s *scene) deeds {
			return deeds{{"revoke", "", "no array that makes volumes is configured", s.failed, 17, true}}
		}},
		{"confirm refused", asRoot, func(s *scene) (string, []string) {
			return "one.volume.confirm", []string{num(s.parked.ID), num(9), doc("<ENDING><STATUS>DONE</STATUS><VOLUME_STATUS>ATTACHED</VOLUME_STATUS></ENDING>")}
		}, func(s *scene) deeds { return deeds{{"confirm", "", "*", s.failed, 17, true}} }},
		{"release forbidden", asBob, func(s *scene) (string, []string) {
			return "one.volume.release", []string{num(s.parked.ID), num(1), str("x")}
		}, func(s *scene) deeds {
			return deeds{{"release", "", "User [6] : Not authorized to perform ADMIN VOLUME.", s.failed, 17, true}}
		}},
		{"resume refused", asRoot, func(s *scene) (string, []string) {
			s.op.err = onevolume.Errorf(onevolume.Action, "not parked")
			return "one.volume.resume", []string{num(s.parked.ID)}
		}, func(s *scene) deeds { return deeds{{"resume", "", "not parked", s.failed, 17, true}} }},
		{"resume forbidden", asAlice, func(s *scene) (string, []string) { return "one.volume.resume", []string{num(s.parked.ID)} },
			func(s *scene) deeds {
				return deeds{{"resume", "", "User [5] : Not authorized to perform ADMIN VOLUME.", s.failed, 17, true}}
			}},
		{"abort of nothing", asRoot, func(*scene) (string, []string) { return "one.volume.abort", []string{num(99)} },
			func(*scene) deeds { return deeds{{"abort", "", "Error getting operation [99].", none, noVM, true}} }},
		{"recover", asRoot, func(s *scene) (string, []string) {
			return "one.volume.recover", []string{num(int(s.failed)), doc("<RECOVERY><STATUS>RETAINED</STATUS><REASON>host gone</REASON></RECOVERY>")}
		}, func(s *scene) deeds { return deeds{{"recover", "to RETAINED: host gone", "ok", s.failed, 17, true}} }},
		{"recover refused", asRoot, func(s *scene) (string, []string) {
			return "one.volume.recover", []string{num(int(s.failed)), doc("<RECOVERY><STATUS>WIPING</STATUS></RECOVERY>")}
		}, func(s *scene) deeds {
			return deeds{{"recover", "to WIPING", `a volume cannot be recovered to "WIPING"`, s.failed, noVM, false}}
		}},
		{"recover forbidden", asAlice, func(s *scene) (string, []string) {
			return "one.volume.recover", []string{num(int(s.failed)), doc("<RECOVERY><STATUS>ATTACHED</STATUS><VM_ID>17</VM_ID><HOST>h</HOST><DEVICE>sdiv</DEVICE></RECOVERY>")}
		}, func(s *scene) deeds {
			return deeds{{"recover", "to ATTACHED on host h as sdiv", "User [5] : Not authorized to perform ADMIN VOLUME.", s.failed, 17, false}}
		}},
		{"sync forbidden", asAlice, func(*scene) (string, []string) { return "one.volume.arraysync", []string{str("of1")} },
			func(*scene) deeds {
				return deeds{{"sync", `array "of1"`, "User [5] : Not authorized to perform CREATE VOLUME.", none, noVM, false}}
			}},
		{"fence forbidden", asAlice, func(*scene) (string, []string) {
			return "one.volume.fence", []string{str("node4"), "<boolean>1</boolean>"}
		},
			func(*scene) deeds {
				return deeds{{"fence", `host "node4", which is off`, "User [5] : Not authorized to perform ADMIN VOLUME.", none, noVM, false}}
			}},
		{"array check forbidden", asAlice, func(*scene) (string, []string) { return "one.volume.arraycheck", []string{str("san1")} },
			func(*scene) deeds {
				return deeds{{"array check", `array "san1"`, "User [5] : Not authorized to perform ADMIN VOLUME.", none, noVM, false}}
			}},
		{"clone of what no array made", asRoot, func(s *scene) (string, []string) {
			return "one.volume.clone", []string{num(int(s.free)), str("copy")}
		}, func(s *scene) deeds { return deeds{{"clone", `"copy"`, "*", s.free, noVM, false}} }},
		{"snapshot without an array", asRoot, func(s *scene) (string, []string) {
			return "one.volume.snapshotcreate", []string{num(int(s.free)), str("before")}
		}, func(s *scene) deeds { return deeds{{"snapshot-create", `"before"`, "*", s.free, noVM, false}} }},
		{"snapshot-delete without an array", asRoot, func(s *scene) (string, []string) {
			return "one.volume.snapshotdelete", []string{num(int(s.free)), num(3)}
		}, func(s *scene) deeds { return deeds{{"snapshot-delete", "snapshot 3", "*", s.free, noVM, false}} }},
		{"snapshot-revert without an array", asRoot, func(s *scene) (string, []string) {
			return "one.volume.snapshotrevert", []string{num(int(s.free)), num(3)}
		}, func(s *scene) deeds { return deeds{{"snapshot-revert", "snapshot 3", "*", s.free, noVM, false}} }},
		{"lift forbidden", asAlice, func(*scene) (string, []string) { return "one.volume.lift", nil },
			func(*scene) deeds {
				return deeds{{"lift", "the hold on the inventory", "User [5] : Not authorized to perform ADMIN VOLUME.", none, noVM, false}}
			}},
		{"bad session", "who:knows", func(s *scene) (string, []string) { return "one.volume.delete", []string{num(int(s.free))} },
			func(*scene) deeds { return nil }},
	}
	for _, name := range []string{"premigrate", "postmigrate", "failmigrate", "prerestore", "predeploy", "migratecheck"} {
		cases = append(cases, cases[0])
		c := &cases[len(cases)-1]
		c.name, c.session = name+" forbidden", asAlice
		c.call = func(*scene) (string, []string) { return "one.volume." + name, []string{num(17), str("node5")} }
		c.want = func(*scene) deeds {
			return deeds{{name, `host "node5"`, "User [5] : Not authorized to perform ADMIN VOLUME.", none, 17, false}}
		}
	}
	t.Run("case", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				before := len(s.deeds())
				method, params := c.call(s)
				tried.Store(method, true)
				answer := s.raw(call(method, append([]string{str(c.session)}, params...)...))
				got, want := s.deeds()[before:], c.want(s)
				if len(got) != len(want) {
					t.Fatalf("%d deeds, want %d: %+v\n%s", len(got), len(want), got, answer)
				}
				for i, d := range got {
					w := want[i]
					who := map[string]onevolume.Owner{asRoot: root.Owner, asAlice: alice.Owner, asBob: bob.Owner}[c.session]
					if d.By != who || d.From != "192.0.2.1" || d.Time.IsZero() {
						t.Errorf("by %+v from %q at %s", d.By, d.From, d.Time)
					}
					if d.Action != w.action || d.Text != w.request || d.Volume != w.volume || d.VM != w.vm || (d.Operation > 0) != w.operation {
						t.Errorf("\n got %+v\nwant %+v", d, w)
					}
					if d.Result != w.result && (w.result != "*" || d.Result == "ok" || d.Result == "") {
						t.Errorf("result %q, want %q", d.Result, w.result)
					}
					text := strings.ToLower(fmt.Sprintf("%+v", d))
					for _, secret := range []string{marker, strings.ReplaceAll(marker, "-", "_"), ":pw", "the-first-secret"} {
						if strings.Contains(text, strings.ToLower(secret)) {
							t.Errorf("%q is in the audit: %+v", secret, d)
						}
					}
				}
				if len(s.lost) > 0 {
					t.Errorf("deeds were lost: %+v", s.lost)
				}
			})
		}
	})
	c := newWorld(t).client(asRoot)
	names, err := c.Wire.Call(t.Context(), "system.listMethods")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names.([]any) {
		reads := slices.Contains([]any{"one.volume.info", "one.volumepool.info", "one.volumepool.infoextended", "one.volumequota.info", "one.volume.operation", "one.volume.history",
			"one.volume.health", "one.volume.fences", "one.volume.running", "one.volume.arrayinfo", "one.volume.arraychoose", "one.volume.hint"}, name)
		if _, ok := tried.Load(name); !ok && !reads && !strings.HasPrefix(name.(string), "system.") {
			t.Errorf("%s changes something and has no case here", name)
		}
	}
}

// locked locks a volume for its owner.
func (s *scene) locked(id onevolume.VolumeID) {
	s.Helper()
	if err := (&inventory.Service{Store: s.db}).Lock(s.Context(), alice, id, onevolume.LockUse, false); err != nil {
		s.Fatal(err)
	}
}
