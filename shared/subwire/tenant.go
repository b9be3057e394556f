package subwire

import (
	"errors"
	"strconv"
)

// In is a name within a tenant: two tenants' equal names differ. It is for the keys of rows
// and the groups of an Inbox; topics and the partitions of a Replay are made so by
// themselves.
func In(tenant, name string) string { return strconv.Itoa(len(tenant)) + "/" + tenant + "/" + name }

// TenantOf returns the viewer's tenant, the text of its claim App.Tenant, or Forbidden.
func (a *App) TenantOf(v Viewer) (tenant string, err error) {
	if !v.Claim(a.Tenant, &tenant) || tenant == "" {
		return "", Forbidden("Your token names no " + a.Tenant + ".")
	}
	return tenant, nil
}

// inTenantOf is In for the viewer's tenant, or the name as it is in an App without tenants.
func (a *App) inTenantOf(v Viewer, name string) (string, error) {
	if a.Tenant == "" {
		return name, nil
	}
	tenant, err := a.TenantOf(v)
	if err != nil {
		return "", err
	}
	return In(tenant, name), nil
}

// In announces events to the subscribers of one tenant. An App with tenants announces no
// others.
func (e Emit) In(tenant string) Emit {
	return func(event any, topics ...Topic) { e(tenanted{tenant, event}, topics...) }
}

// tenanted is what Emit.In emits.
type tenanted struct {
	tenant string
	event  any
}

var errTenant = errors.New("an event is emitted with In if, and only if, App.Tenant is set, and once")

// belonging splits what was emitted into the event and what its topics become, nil if they
// stay. Its error parks the record of the change: the event goes to nobody, and is not lost.
func (a *App) belonging(emitted any) (event any, topic func(Topic) Topic, err error) {
	of, isTenants := emitted.(tenanted)
	_, twice := of.event.(tenanted)
	switch {
	case isTenants != (a.Tenant != ""), isTenants && of.tenant == "", twice:
		return nil, nil, errTenant
	case isTenants:
		return of.event, func(t Topic) Topic { return In(of.tenant, t) }, nil
	}
	return emitted, nil, nil
}

// within is s with the topics of the viewer's tenant, if the App has tenants.
func (s Subscription[A, E]) within(a *App) Subscription[A, E] {
	if a.Tenant == "" {
		return s
	}
	inner := s
	s.Topic, s.TopicOf, s.Topics = nil, nil, nil
	if inner.Topics == nil {
		s.TopicOf = func(v Viewer, args A) (Topic, error) {
			topic, err := inner.topicOf(v, args)
			if err != nil {
				return "", err
			}
			return a.inTenantOf(v, topic)
		}
		return s
	}
	s.Topics = func(v Viewer, args A) ([]Topic, error) {
		all, err := inner.Topics(v, args)
		of := make([]Topic, len(all))
		for i := range all {
			if err == nil {
				of[i], err = a.inTenantOf(v, all[i])
			}
		}
		return of, err
	}
	return s
}
