package cloud

import (
	"maps"

	"subwire/scripts/internal/issuer"
)

// startIssuer starts the issuer of tokens and makes the functions accept them, if the
// config asks for it.
func (c *Cloud) startIssuer() error {
	if !c.cfg.Tokens {
		return nil
	}
	l, err := listen(c.cfg.Issuer)
	if err != nil {
		return err
	}
	c.IssuerURL = "http://" + l.Addr().String()
	if c.Issuer, err = issuer.New(c.IssuerURL); err != nil {
		l.Close()
		return err
	}
	settings := c.Issuer.Settings()
	maps.Copy(settings, c.cfg.Settings)
	c.cfg.Settings = settings
	c.serve(l, c.Issuer)
	return nil
}
