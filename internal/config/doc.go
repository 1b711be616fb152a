// Package config turns the configuration file into a validated [Config].
//
// The one idea in it is that nothing in the file is ignored. The file is read
// strictly, with the position of every value, and each unknown key, wrong
// value or key of a later version is reported with its line and column. Only
// then viper lays flags and ENVDB_ variables over the few scalars that may
// differ from one call to the next. Secrets stand in the file by reference and
// are resolved per environment, when the environment is asked for: who lacks
// production's credentials can still work on everything else.
package config
