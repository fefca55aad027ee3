// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// claims settle which of several workers runs a spec: the first that comes to it. So no worker is idle while another has
// specs left, however long each of them takes on this machine. It is a directory that the workers share, with an empty file
// for each spec that was claimed; with an empty name, nobody shares anything.
type claims string

// take claims a spec, and says whether it is the caller's now.
func (c claims) take(spec string) (bool, error) {
	if c == "" {
		return true, nil
	}
	sum := sha256.Sum256([]byte(spec)) // names may be longer than those of files
	file, err := os.OpenFile(filepath.Join(string(c), hex.EncodeToString(sum[:])), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, file.Close()
}
