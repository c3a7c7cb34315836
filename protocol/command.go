package protocol

import (
	"context"

	"sluice/protocol/wire"
)

// phase is how far a session has to be for a command.
type phase int

const (
	greeted  phase = iota // any time
	loggedIn              // after 230
)

type argKind int

const (
	optional argKind = iota
	none
	needed
)

// mark is a state that one command leaves for the next; a command clears those that it does not keep.
type mark int

const (
	markREST mark = 1 << iota
	markRNFR
)

// command is one row per verb. HELP, FEAT and the checks of state fall out of the table.
type command struct {
	run    func(*session, context.Context, string) (wire.Reply, error) // exactly one final reply
	start  func(*session, *transfer, string) job                       // a transfer; its job makes the final reply
	local  bool                                                        // start needs no data connection
	stays  bool                                                        // the job goes on when its client has gone
	sub    func(*session, string) (*command, string)                   // the row of the command in the argument, and its argument
	phase  phase
	arg    argKind
	during bool // answered at once, even while a transfer runs, once that has said 150
	keeps  mark
	feat   string // its line of FEAT, where one is due always
	help   string // the syntax; empty: HELP knows nothing of it
}

// commandTable makes the table. It belongs to the server, since the handlers of FEAT and HELP read it.
func commandTable() map[string]*command {
	commands := map[string]*command{
		// Access control (RFC 959 4.1.1, RFC 4217)
		"USER": {run: (*session).user, arg: needed, help: "USER name"},
		"PASS": {run: (*session).pass, help: "PASS password"},
		"AUTH": {run: (*session).auth, arg: needed, feat: "AUTH TLS", help: "AUTH TLS"},
		"PBSZ": {run: (*session).pbsz, arg: needed, keeps: markREST, feat: "PBSZ", help: "PBSZ 0"},
		"PROT": {run: (*session).prot, arg: needed, keeps: markREST, feat: "PROT", help: "PROT P"},
		"ACCT": {run: (*session).acct, help: "ACCT account"},
		"HOST": {run: (*session).hostName, arg: needed, feat: "HOST", help: "HOST name"},
		"CCC":  {run: (*session).ccc, phase: loggedIn, arg: none, help: "CCC"},
		"REIN": {run: (*session).rein, arg: none, help: "REIN"},
		"QUIT": {run: (*session).quit, arg: none, help: "QUIT"},

		// Directories and files
		"PWD":  {run: (*session).pwd, phase: loggedIn, arg: none, keeps: markREST, help: "PWD"},
		"CWD":  {run: (*session).cwdTo, phase: loggedIn, help: "CWD path"},
		"CDUP": {run: (*session).cdup, phase: loggedIn, arg: none, help: "CDUP"},
		"MKD":  {run: (*session).mkd, phase: loggedIn, arg: needed, help: "MKD path"},
		"RMD":  {run: (*session).rmd, phase: loggedIn, arg: needed, help: "RMD path"},
		"DELE": {run: (*session).dele, phase: loggedIn, arg: needed, help: "DELE path"},
		"RNFR": {run: (*session).rnfr, phase: loggedIn, arg: needed, help: "RNFR path"},
		"RNTO": {start: (*session).rnto, local: true, stays: true, phase: loggedIn, arg: needed, help: "RNTO path"},
		"SIZE": {run: (*session).size, phase: loggedIn, arg: needed, keeps: markREST, feat: "SIZE", help: "SIZE path"},
		"MDTM": {run: (*session).mdtm, phase: loggedIn, arg: needed, keeps: markREST, feat: "MDTM", help: "MDTM path"},
		"MFMT": {run: (*session).mfmt, phase: loggedIn, arg: needed, keeps: markREST, feat: "MFMT", help: "MFMT time path"},
		"MFCT": {run: (*session).mfct, phase: loggedIn, arg: needed, keeps: markREST, feat: "MFCT", help: "MFCT time path"},
		"MFF":  {run: (*session).mff, phase: loggedIn, arg: needed, keeps: markREST, feat: "MFF Create;Modify;", help: "MFF Modify=time;Create=time; path"},
		"AVBL": {run: (*session).avbl, phase: loggedIn, keeps: markREST, feat: "AVBL", help: "AVBL [path]"},
		"COMB": {start: (*session).comb, local: true, phase: loggedIn, arg: needed, feat: "COMB", help: "COMB target path..."},
		"HASH": {start: (*session).hash, local: true, phase: loggedIn, arg: needed, help: "HASH path"},
		"MLST": {run: (*session).mlst, phase: loggedIn, keeps: markREST, help: "MLST [path]"},

		// Parameters of transfers
		"TYPE": {run: (*session).setType, arg: needed, keeps: markREST, help: "TYPE A|I|L 8|E"},
		"MODE": {run: (*session).setMode, phase: loggedIn, arg: needed, keeps: markREST, help: "MODE S|Z|B"},
		"STRU": {run: (*session).setStru, phase: loggedIn, arg: needed, keeps: markREST, help: "STRU F|R"},
		"REST": {run: (*session).restart, phase: loggedIn, arg: needed, keeps: markREST, feat: "REST STREAM", help: "REST offset"},
		"RANG": {run: (*session).rang, phase: loggedIn, arg: needed, keeps: markREST, feat: "RANG STREAM", help: "RANG first last"},
		"ALLO": {run: (*session).allo, phase: loggedIn, arg: needed, keeps: markREST, help: "ALLO size"},
		"PASV": {run: (*session).pasv, phase: loggedIn, arg: none, keeps: markREST, feat: "PASV", help: "PASV"},
		"EPSV": {run: (*session).epsv, phase: loggedIn, keeps: markREST, feat: "EPSV", help: "EPSV [1|2|ALL]"},
		"PORT": {run: (*session).port, phase: loggedIn, arg: needed, keeps: markREST, help: "PORT h1,h2,h3,h4,p1,p2"},
		"EPRT": {run: (*session).eprt, phase: loggedIn, arg: needed, keeps: markREST, help: "EPRT |family|address|port|"},
		"PRET": {run: (*session).pret, phase: loggedIn, arg: needed, keeps: markREST, help: "PRET command [path]"},

		// Transfers
		"RETR": {start: (*session).retr, phase: loggedIn, arg: needed, help: "RETR path"},
		"STOR": {start: (*session).stor, phase: loggedIn, arg: needed, help: "STOR path"},
		"STOU": {start: (*session).stou, phase: loggedIn, help: "STOU [path]"},
		"APPE": {start: (*session).appe, phase: loggedIn, arg: needed, help: "APPE path"},
		"LIST": {start: (*session).list, phase: loggedIn, help: "LIST [path]"},
		"NLST": {start: (*session).nlst, phase: loggedIn, help: "NLST [path]"},
		"MLSD": {start: (*session).mlsd, phase: loggedIn, help: "MLSD [path]"},
		"ABOR": {run: (*session).abor, arg: none, help: "ABOR"},

		// Information
		"FEAT": {run: (*session).features, arg: none, keeps: markREST, help: "FEAT"},
		"OPTS": {run: (*session).opts, arg: needed, keeps: markREST, help: "OPTS command [options]"},
		"SYST": {run: (*session).syst, arg: none, keeps: markREST, help: "SYST"},
		"STAT": {run: (*session).stat, during: true, keeps: markREST, help: "STAT [path]"},
		"HELP": {run: (*session).helpText, keeps: markREST, help: "HELP [command]"},
		"LANG": {run: (*session).lang, keeps: markREST, feat: "LANG en*", help: "LANG [tag]"},
		"CLNT": {run: (*session).client, arg: needed, keeps: markREST, feat: "CLNT", help: "CLNT name"},
		"CSID": {run: (*session).client, arg: needed, keeps: markREST, feat: "CSID", help: "CSID name=...;version=...;"},
		"SITE": {sub: (*session).siteRow, phase: loggedIn, arg: needed, help: "SITE command"},
		"NOOP": {run: (*session).noop, during: true, keeps: markREST | markRNFR, help: "NOOP"},
	}
	for alias, verb := range map[string]string{
		"XPWD": "PWD", "XCWD": "CWD", "XCUP": "CDUP", "XMKD": "MKD", "XRMD": "RMD", "XNOP": "NOOP",
	} {
		row := *commands[verb]
		row.feat = ""
		commands[alias] = &row
	}
	for verb, code := range map[string]int{"XCRC": 250, "XMD5": 250, "MD5": 251, "XSHA": 250, "XSHA1": 250, "XSHA256": 250, "XSHA512": 250} {
		commands[verb] = &command{
			start: func(s *session, t *transfer, arg string) job { return s.digestOf(t, verb, code, arg) }, local: true,
			phase: loggedIn, arg: needed, feat: verb, help: verb + " path [first end]",
		}
	}
	for _, verb := range []string{"SMNT", "ADAT", "MIC", "CONF", "ENC", "SSCN", "CPSV", "LPSV", "LPRT", "SPSV", "RMDA", "THMB", "XRCP", "XRSQ", "XSEM", "XSEN", "XPRT", "MLFL", "MSND", "MSOM", "MSAM", "MRSQ", "MRCP"} {
		commands[verb] = &command{run: (*session).refused}
	}
	return commands
}
