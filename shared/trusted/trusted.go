// Package trusted is the list of documents that may run, if a schema's owner allows
// only those of its own clients, registered with the deployment. It reads them and
// looks them up; it parses and runs nothing.
package trusted

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"subwire/shared/pubsub"
)

// Documents are the documents by id. A nil Documents trusts every document and knows
// none by its id.
type Documents struct{ byID map[string]string }

// Codes and messages that Apollo's clients know. On the first two they send the
// document itself.
const (
	codeNotFound     = "PERSISTED_QUERY_NOT_FOUND"
	codeNotSupported = "PERSISTED_QUERY_NOT_SUPPORTED"
	codeNotTrusted   = "DOCUMENT_NOT_TRUSTED"
)

// ID is a document's registered id: its SHA-256 in hex digits.
func ID(document string) string {
	sum := sha256.Sum256([]byte(document))
	return hex.EncodeToString(sum[:])
}

// DocumentID is the id of a registered document in the extensions of a request
// (Apollo, "Automatic Persisted Queries"), or "".
func DocumentID(extensions json.RawMessage) string {
	var e struct {
		PersistedQuery struct {
			Hash string `json:"sha256Hash"`
		} `json:"persistedQuery"`
	}
	if len(extensions) == 0 || json.Unmarshal(extensions, &e) != nil {
		return ""
	}
	return e.PersistedQuery.Hash
}

// Read reads the documents from a file, like Decode. For the path "" it returns nil:
// every document is trusted.
func Read(path string) (*Documents, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read trusted documents: %w", err)
	}
	return Decode(raw)
}

// Decode reads a JSON object of documents by id, as the Relay compiler writes it.
// Whatever the ids are, each document is also known by its ID.
func Decode(raw []byte) (*Documents, error) {
	var given map[string]string
	if err := json.Unmarshal(raw, &given); err != nil {
		return nil, fmt.Errorf("trusted documents are not a JSON object of texts: %w", err)
	}
	d := &Documents{byID: map[string]string{}}
	for id, document := range given {
		if document == "" {
			return nil, fmt.Errorf("trusted document %s is empty", id)
		}
		d.byID[id], d.byID[ID(document)] = document, document
	}
	return d, nil
}

// Resolve returns the operation with its document if it names that by its id, and
// refuses what is not trusted with a pubsub.Errors.
func (d *Documents) Resolve(op pubsub.Operation) (pubsub.Operation, error) {
	id := strings.TrimPrefix(op.DocumentID, "sha256:")
	op.DocumentID = ""
	switch {
	case d == nil && op.Document == "" && id != "":
		return op, pubsub.Refusal(codeNotSupported, "PersistedQueryNotSupported")
	case d == nil:
		return op, nil
	case op.Document != "":
		if _, ok := d.byID[ID(op.Document)]; !ok {
			return op, pubsub.Refusal(codeNotTrusted, "Only registered documents may run.")
		}
		return op, nil
	}
	var ok bool
	if op.Document, ok = d.byID[id]; !ok {
		return op, pubsub.Refusal(codeNotFound, "PersistedQueryNotFound")
	}
	return op, nil
}
