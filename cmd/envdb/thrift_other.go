//go:build !linux

package main

// unmapProgram does nothing where nobody knows how.
func unmapProgram() {}
