// SPDX-License-Identifier: Apache-2.0

package pair

// talker is a subject that keeps a log of its own, beside that of the kernel.
type talker interface{ TakeLog() []byte }

// TakeLogs gives what the subjects' programs have said since this was last asked, by the names of files.
func (p *Pair) TakeLogs() map[string][]byte {
	logs := make(map[string][]byte)
	for name, s := range map[string]any{"target.log": p.Target, "initiator.log": p.Initiator} {
		if t, talks := s.(talker); talks {
			logs[name] = t.TakeLog()
		}
	}
	return logs
}

// mortal is a subject that is a program, which can end by itself while its machine lives on.
type mortal interface{ Died() error }

// Died lists how subjects' programs have ended that should be running.
func (p *Pair) Died() []error {
	var all []error
	for _, s := range []any{p.Target, p.Initiator} {
		if m, is := s.(mortal); is && m.Died() != nil {
			all = append(all, m.Died())
		}
	}
	return all
}
