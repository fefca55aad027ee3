// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// next passes a call on to the guest.
type next = func(agent.FileCall) (agent.FileAnswer, error)

// onCall alters calls of one operation on the files that match a pattern as of path.Match.
func onCall(op agent.FileOp, pattern string, alter agent.FileHop) func() agent.FileHop {
	return func() agent.FileHop {
		return func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
			if matches, _ := path.Match(pattern, call.Path); call.Op != op || !matches {
				return ask(call)
			}
			return alter(call, ask)
		}
	}
}

// failure is the error of a call, as a guest gives it.
func failure(call agent.FileCall, errno syscall.Errno) error {
	return &fs.PathError{Op: string(call.Op), Path: call.Path, Err: errno}
}

// shows alters what is read from a file.
func shows(pattern string, change func(text string) string) func() agent.FileHop {
	return onCall(agent.ReadFile, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		if err == nil {
			a.Data = []byte(change(string(a.Data)))
		}
		return a, err
	})
}

// seen alters what is seen of several files at once.
func seen(change func(files []agent.Content) []agent.Content) agent.FileHop {
	return func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		a.Files = change(a.Files)
		return a, err
	}
}

// always is a change after which every file says the same.
func always(text string) func(string) string { return func(string) string { return text } }

// writes alters what is written to a file.
func writes(pattern string, change func(text string) string) func() agent.FileHop {
	return onCall(agent.WriteFile, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		call.Data = []byte(change(string(call.Data)))
		return ask(call)
	})
}

// instead is a change of one text into another.
func instead(text, other string) func(string) string {
	return func(written string) string {
		if written == text {
			return other
		}
		return written
	}
}

// refuses has the writes of some texts fail, unasked.
func refuses(pattern string, errno syscall.Errno, which func(text string) bool) func() agent.FileHop {
	return onCall(agent.WriteFile, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		if which(string(call.Data)) {
			return agent.FileAnswer{}, failure(call, errno)
		}
		return ask(call)
	})
}

// ignores has the writes of some texts succeed without doing anything.
func ignores(pattern string, which func(text string) bool) func() agent.FileHop {
	return onCall(agent.WriteFile, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		if which(string(call.Data)) {
			return agent.FileAnswer{}, nil
		}
		return ask(call)
	})
}

// anything is so of every text.
func anything(string) bool { return true }

// changesErrno gives another errno for one that a write failed with; 0 stands for success.
func changesErrno(pattern string, from, to syscall.Errno) func() agent.FileHop {
	return onCall(agent.WriteFile, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		if !errors.Is(err, from) {
			return a, err
		}
		if to == 0 {
			return agent.FileAnswer{}, nil
		}
		return a, failure(call, to)
	})
}

// hides has files not be there for those who look for them.
func hides(pattern string) func() agent.FileHop {
	return onCall(agent.Lstat, pattern, func(call agent.FileCall, _ next) (agent.FileAnswer, error) {
		return agent.FileAnswer{}, failure(call, syscall.ENOENT)
	})
}

// keeps has files be there for those who look for them, also when they have gone.
func keeps(pattern string) func() agent.FileHop {
	return onCall(agent.Lstat, pattern, func(call agent.FileCall, _ next) (agent.FileAnswer, error) {
		return agent.FileAnswer{Info: agent.FileInfo{Name: path.Base(call.Path)}}, nil
	})
}

// permits has files show other permissions.
func permits(pattern string, mode fs.FileMode) func() agent.FileHop {
	return onCall(agent.Stat, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		if err == nil {
			a.Info.Mode = mode
		}
		return a, err
	})
}

// leads has symbolic links lead elsewhere.
func leads(pattern string, change func(to string) string) func() agent.FileHop {
	return onCall(agent.Readlink, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		if err == nil {
			a.Target = change(a.Target)
		}
		return a, err
	})
}

// names has files of a directory be named otherwise when they are listed.
func names(pattern string, change func(name string) string) func() agent.FileHop {
	return onCall(agent.Glob, pattern, func(call agent.FileCall, ask next) (agent.FileAnswer, error) {
		a, err := ask(call)
		for i, name := range a.Names {
			a.Names[i] = path.Join(path.Dir(name), change(path.Base(name)))
		}
		return a, err
	})
}

// Requests to map a device are lines of words like sessname=foo.

// lacks says whether a request gives no value to an option.
func lacks(option string) func(line string) bool {
	return func(line string) bool {
		return !slices.ContainsFunc(strings.Fields(line), func(word string) bool {
			v, is := strings.CutPrefix(word, option+"=")
			return is && v != ""
		})
	}
}

// edited changes the value of an option wherever a request has it.
func edited(option string, change func(value string) string) func(line string) string {
	return func(line string) string {
		words := strings.Fields(line)
		for i, word := range words {
			if v, is := strings.CutPrefix(word, option+"="); is {
				words[i] = option + "=" + change(v)
			}
		}
		return strings.Join(words, " ")
	}
}

// value gives the first value of an option of a request.
func value(line, option string) string {
	for _, word := range strings.Fields(line) {
		if v, is := strings.CutPrefix(word, option+"="); is {
			return v
		}
	}
	return ""
}
