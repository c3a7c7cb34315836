// Drives a server with basic-ftp: node basic_ftp.js MODE TLS PORT CA USER PASSWORD DIR BIG. What it does is described in
// e2e_clients_test.go. Any difference is an exception.
const assert = require("node:assert");
const fs = require("node:fs");
const { Readable, Writable } = require("node:stream");
const { setTimeout } = require("node:timers/promises");
const { Client } = require("basic-ftp");

const [mode, version, port, ca, user, password, dir, bigFile] = process.argv.slice(2);
const big = fs.readFileSync(bigFile);
const small = Buffer.from("a small file\n");

async function get(ftp, name) {
    const chunks = [];
    await ftp.downloadTo(new Writable({ write(chunk, _, done) { chunks.push(chunk); done(); } }), name);
    return Buffer.concat(chunks);
}

// An end right behind the handshake makes node leave without close_notify, and a server has to take that for cut off.
async function* nothing() {
    await setTimeout(200);
}

const refused = (promise) => assert.rejects(promise, { code: 550 });

async function main() {
    const access = {
        host: "127.0.0.1", port: Number(port), user, password, secure: mode === "implicit" ? "implicit" : true,
        secureOptions: { ca: fs.readFileSync(ca), minVersion: "TLSv" + version, maxVersion: "TLSv" + version },
    };
    const stranger = new Client(30000);
    await assert.rejects(stranger.access({ ...access, password: "wrong" }), { code: 530 });
    stranger.close();

    const ftp = new Client(30000);
    await ftp.access(access);
    assert.equal(ftp.ftp.socket.getProtocol(), "TLSv" + version);
    await ftp.send("MKD " + dir);
    await refused(ftp.send("MKD " + dir));
    await ftp.cd(dir);
    assert.equal(await ftp.pwd(), "/" + dir);
    await ftp.uploadFrom(Readable.from(nothing()), "empty");
    await ftp.uploadFrom(Readable.from([small]), "with space.txt");
    await ftp.uploadFrom(bigFile, "ünï 日本.bin");

    const sizes = Object.fromEntries((await ftp.list()).map((f) => [f.name, f.isFile ? f.size : "not a file"]));
    assert.deepEqual(sizes, { empty: 0, "with space.txt": small.length, "ünï 日本.bin": big.length });
    assert.equal(await ftp.size("ünï 日本.bin"), big.length);
    assert(Math.abs(Date.now() - (await ftp.lastMod("empty")).getTime()) < 3600e3);

    assert(big.equals(await get(ftp, "ünï 日本.bin")), "the big file came back different");
    assert(small.equals(await get(ftp, "with space.txt")), "the small file came back different");
    assert.equal((await get(ftp, "empty")).length, 0);
    await ftp.rename("with space.txt", "renamed file");
    await ftp.remove("empty");
    for (let i = 0; i < 10; i++) { // an error of the data connection would end the session
        await refused(get(ftp, "missing"));
    }
    await refused(ftp.remove("missing"));
    await refused(ftp.rename("missing", "other"));
    await ftp.ensureDir("sub dir/deeper");
    await ftp.cd("/" + dir);
    await ftp.removeDir("sub dir");
    ftp.close();
}

main();
