// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/vm"
)

// What a spec finds broken while the host keeps the guests from their processors says nothing of the subject: heartbeats are
// late, packets are sent again, connections are given up. The scheduler of the host counts how long each thread of a guest
// was ready and had to wait, which no subject can influence; so a failure beside a long wait is a doubt, not a verdict.

// starvationWindow is how often the waits are read. A guest is starved that waited for more than starvationLimit of it.
const (
	starvationWindow = time.Second
	starvationLimit  = 800 * time.Millisecond
)

// starvation watches how the host treats the guests.
type starvation struct {
	waits func() map[string]time.Duration // how long each thread has waited in all, by name
	quit  chan struct{}
	done  chan struct{}

	mu    sync.Mutex
	worst time.Duration // the longest wait in a window since the last begin
	who   string
}

// watchStarvation watches the guests until stop is called.
func watchStarvation(hosts ...*vm.Host) *starvation {
	s := &starvation{quit: make(chan struct{}), done: make(chan struct{})}
	s.waits = func() map[string]time.Duration { return threadWaits(hosts) }
	go s.watch()
	return s
}

func (s *starvation) stop() {
	close(s.quit)
	<-s.done
}

func (s *starvation) watch() {
	defer close(s.done)
	window := time.NewTicker(starvationWindow)
	defer window.Stop()
	last, before := time.Now(), s.waits()
	for {
		select {
		case <-window.C:
		case <-s.quit:
			return
		}
		now, after := time.Now(), s.waits()
		s.compare(now.Sub(last), before, after)
		last, before = now, after
	}
}

// compare takes in what one window shows: the waits of threads that were there at both its ends, and how much longer it took
// than it should, which is how long this process waited itself.
func (s *starvation) compare(took time.Duration, before, after map[string]time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("the suite itself", took-starvationWindow)
	for name, wait := range after {
		if earlier, known := before[name]; known {
			s.note(name, wait-earlier)
		}
	}
}

func (s *starvation) note(who string, wait time.Duration) {
	if wait > s.worst {
		s.worst, s.who = wait, who
	}
}

// begin forgets what was before a spec.
func (s *starvation) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worst, s.who = 0, ""
}

// verdict says who was starved since begin; "" if nobody was.
func (s *starvation) verdict() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.worst <= starvationLimit {
		return ""
	}
	return fmt.Sprintf("the host was too busy: %s had to wait for a processor for %s within %s",
		s.who, s.worst.Round(time.Millisecond), starvationWindow)
}

// threadWaits reads how long each thread of the hosts' machines has been ready without running.
func threadWaits(hosts []*vm.Host) map[string]time.Duration {
	waits := make(map[string]time.Duration)
	for _, h := range hosts {
		files, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(h.Machine().PID()), "task", "*", "schedstat"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // the thread has ended
			}
			if wait, ok := parseWait(string(text)); ok {
				waits[fmt.Sprintf("a thread (%s) of %s", filepath.Base(filepath.Dir(file)), h.Name())] = wait
			}
		}
	}
	return waits
}

// parseWait reads the second of the three numbers in a schedstat file: nanoseconds on a run queue.
func parseWait(text string) (time.Duration, bool) {
	words := strings.Fields(text)
	if len(words) != 3 {
		return 0, false
	}
	wait, err := strconv.ParseInt(words[1], 10, 64)
	return time.Duration(wait), err == nil
}
