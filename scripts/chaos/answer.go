package chaos

import (
	"encoding/json"

	"subwire/scripts/internal/wsclient"
)

// eventID is the id of the event in a payload, or the payload after a word that makes
// it no id.
func eventID(payload []byte) string {
	var next struct {
		Data struct{ NewMessage struct{ ID string } }
	}
	if err := json.Unmarshal(payload, &next); err != nil || next.Data.NewMessage.ID == "" {
		return "nothing: " + string(payload)
	}
	return next.Data.NewMessage.ID
}

// messageIDs are the ids in the result of a query.
func messageIDs(result []byte) (ids []string) {
	var page struct {
		Data struct{ GetNewMessages []struct{ ID string } }
	}
	if json.Unmarshal(result, &page) != nil {
		return nil // it failed and is retried
	}
	for _, m := range page.Data.GetNewMessages {
		ids = append(ids, m.ID)
	}
	return ids
}

func errorCode(e *wsclient.OperationError) string {
	var list []struct{ Extensions struct{ Code string } }
	if json.Unmarshal(e.Errors, &list) == nil && len(list) > 0 && list[0].Extensions.Code != "" {
		return list[0].Extensions.Code
	}
	return string(e.Errors)
}
