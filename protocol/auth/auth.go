// Package auth judges credentials: password hashes, the names in client certificates, and who has guessed wrong too often.
//
// It knows no FTP, no configuration and no users: the program's identity package is its caller.
package auth
