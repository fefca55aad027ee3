// SPDX-License-Identifier: Apache-2.0

package pair

// logger is a subject with a log of its own, beside that of the kernel.
type logger interface{ TakeLog() []byte }

// TakeLogs gives what the subjects' programs have said since this was last asked, by the names of files.
func (p *Pair) TakeLogs() map[string][]byte {
	logs := make(map[string][]byte)
	for name, s := range map[string]any{"target.log": p.Target, "initiator.log": p.Initiator} {
		if l, is := s.(logger); is {
			logs[name] = l.TakeLog()
		}
	}
	return logs
}

// program is a subject that runs as a program, which can end by itself while its machine goes on.
type program interface{ Died() error }

// Died lists how subjects' programs have ended that should be running.
func (p *Pair) Died() []error {
	var all []error
	for _, s := range []any{p.Target, p.Initiator} {
		if p, is := s.(program); is && p.Died() != nil {
			all = append(all, p.Died())
		}
	}
	return all
}
