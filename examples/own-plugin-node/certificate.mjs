// A self-signed certificate for one start, as PROTOCOL.md wants it: ECDSA P-256, for
// the name localhost, for clients and servers. X.509 is DER: tag, length, value.
import crypto from "node:crypto";

const der = (tag, ...parts) => {
  const value = Buffer.concat(parts);
  const n = value.length;
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), value]);
};
const seq = (...parts) => der(0x30, ...parts);
const oid = (hex) => der(0x06, Buffer.from(hex, "hex"));
const time = (date) => der(0x18, Buffer.from(date.toISOString().replace(/[-:T]|\.\d+/g, "")));
const extension = (id, value) => seq(oid(id), der(0x04, value));

// The certificate as DER, and its key as PEM.
export function selfSigned() {
  const { publicKey, privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = seq(oid("2a8648ce3d040302")); // ecdsa-with-SHA256
  const name = seq(der(0x31, seq(oid("550403"), der(0x0c, Buffer.from("localhost")))));
  const hour = 3600_000;
  const valid = seq(time(new Date(Date.now() - hour)), time(new Date(Date.now() + 365 * 24 * hour)));
  const extensions = seq(
    extension("551d13", seq(der(0x01, Buffer.from([0xff])))), // basicConstraints: it signs itself
    extension("551d11", seq(der(0x82, Buffer.from("localhost")))), // subjectAltName
    extension("551d25", seq(oid("2b06010505070301"), oid("2b06010505070302"))), // servers and clients
  );
  const serial = Buffer.concat([Buffer.from([0x01]), crypto.randomBytes(15)]);
  const body = seq(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, serial),
    algorithm,
    name,
    valid,
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, extensions),
  );
  const signature = crypto.sign("sha256", body, privateKey);
  return {
    cert: seq(body, algorithm, der(0x03, Buffer.from([0]), signature)),
    key: privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}

// DER as PEM.
export const pem = (cert) =>
  `-----BEGIN CERTIFICATE-----\n${cert.toString("base64").replace(/.{64}(?=.)/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
