// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/cavaliergopher/cpio"
	"github.com/klauspost/compress/zstd"
)

// unpack lays a layer of an image, a cpio archive compressed with zstd, over the root file system. Files that are there
// already stay as they are.
func unpack(_ context.Context, _ *session, st *stream, _ json.RawMessage) (any, error) {
	return nil, unpackArchive(st.content(), "/")
}

func unpackArchive(content io.Reader, root string) error {
	plain, err := zstd.NewReader(content, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer plain.Close()
	archive := cpio.NewReader(plain)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, plain) // what follows the archive: the end of the content
			return err
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := unpackEntry(archive, header, root); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("unpack %s: %w", header.Name, err)
		}
	}
}

func unpackEntry(archive io.Reader, header *cpio.Header, root string) error {
	name := filepath.Join(root, path.Clean("/"+header.Name))
	perm := os.FileMode(header.Mode.Perm())
	switch header.Mode &^ cpio.ModePerm {
	case cpio.TypeDir:
		return os.Mkdir(name, perm)
	case cpio.TypeSymlink:
		return os.Symlink(header.Linkname, name)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, archive)
	return errors.Join(err, file.Close())
}
