// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Failure is an error as one program tells it to another: the sentence for people, and the error number of the protocol
// or of the system that is behind it.
type Failure struct {
	Message string      `json:"error"`
	Errno   ibtrs.Errno `json:"errno,omitempty"` // 0 if there is none
	Name    string      `json:"errno_name,omitempty"`
}

// NewFailure describes an error.
func NewFailure(err error) *Failure {
	f := &Failure{Message: err.Error()}
	var number ibtrs.Errno
	var system syscall.Errno
	switch {
	case errors.As(err, &number):
		f.Errno = number
	case errors.As(err, &system):
		f.Errno = ibtrs.Errno(system)
	default:
		return f
	}
	f.Name = f.Errno.String()
	return f
}

// Error is the sentence.
func (f *Failure) Error() string { return f.Message }

// Unwrap gives the number, if there is one.
func (f *Failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return f.Errno
}

// WriteError answers with an error.
func WriteError(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	// The asker is told what happened, or has gone.
	_ = json.NewEncoder(w).Encode(NewFailure(err))
}
