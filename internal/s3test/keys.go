package s3test

import "sync"

// keys are the secrets of a server's users, which the proxy signs with.
type keys struct {
	mu      sync.Mutex
	secrets map[string]string
}

func (k *keys) add(access, secret string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secrets == nil {
		k.secrets = map[string]string{}
	}
	k.secrets[access] = secret
}

func (k *keys) secret(access string) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	secret, known := k.secrets[access]
	return secret, known
}
