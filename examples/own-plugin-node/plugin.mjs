// A classifier plugin in JavaScript without an SDK of vaeguard's: sdk/PROTOCOL.md and
// sdk/proto/classifier.proto are all that it was written from.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { pem, selfSigned } from "./certificate.mjs";
import { Softmax } from "./model.mjs";

const { VAEGUARD_PLUGIN, PLUGIN_PROTOCOL_VERSIONS, PLUGIN_CLIENT_CERT, PLUGIN_UNIX_SOCKET_DIR, VAEGUARD_DEATH_WATCH } = process.env;
if (VAEGUARD_PLUGIN !== "classifier" || !PLUGIN_PROTOCOL_VERSIONS?.split(",").includes("1")) {
  console.error("This program is a plugin of vaeguard, which starts it.");
  process.exit(1);
}
delete process.env.VAEGUARD_PLUGIN; // not for programs that this one might start
delete process.env.VAEGUARD_DEATH_WATCH;
if (VAEGUARD_DEATH_WATCH === "stdin") {
  const end = () => {
    try {
      process.kill(-process.pid, "SIGKILL"); // with its group, if it leads one
    } finally {
      process.exit(1);
    }
  };
  process.stdin.on("end", end).on("error", end).resume();
}

const SCHEMA = { type: "object", additionalProperties: false, properties: { weights: { type: "string", format: "path" } } };
let model = null; // of the last Configure or Fit
let digest = "";
let shape = []; // of a row, as the data has it
let classes = 0;

const fail = (code, details) => Object.assign(new Error(details), { code: grpc.status[code], details });

// the numbers of a tensor of rows, checked
function rows(t, width, what) {
  if (!model) throw fail("FAILED_PRECONDITION", "it is not trained");
  if (t?.dtype !== "F32") throw fail("INVALID_ARGUMENT", `${what} has dtype ${t?.dtype}, want F32`);
  const want = what === "x" ? shape : [classes];
  const n = t.shape[0];
  if (t.shape.length !== want.length + 1 || !(n >= 0) || want.some((d, i) => d !== t.shape[i + 1]))
    throw fail("INVALID_ARGUMENT", `${what} has shape ${t.shape.join("×")}, want N×${want.join("×")}`);
  if (t.data.length !== 4 * n * width) throw fail("INVALID_ARGUMENT", `${what} has ${t.data.length} bytes, want ${4 * n * width}`);
  return { n, data: floats(t.data, what) };
}

function floats(bytes, what) {
  const data = new Float32Array(bytes.length / 4);
  for (let i = 0; i < data.length; i++)
    if (!Number.isFinite((data[i] = bytes.readFloatLE(4 * i)))) throw fail("INVALID_ARGUMENT", `${what} has ${data[i]} at ${i}`);
  return data;
}

const tensor = (dims, data) => {
  const bytes = Buffer.alloc(4 * data.length);
  data.forEach((v, i) => bytes.writeFloatLE(v, 4 * i));
  return { dtype: "F32", shape: dims, data: bytes };
};

const size = (dims) => dims.reduce((a, b) => a * b, 1);

function describe() {
  const known = { name: "node-softmax", version: "0.1.0", gradient: "EXACT", trainable: true, config_schema: Buffer.from(JSON.stringify(SCHEMA)) };
  if (!model) return known;
  return { ...known, input_shape: shape, layout: shape.length === 3 ? "NHWC" : "FLAT", num_classes: classes, output: "LOGITS", ready: true, digest };
}

function configure(request) {
  const text = request.config_json.toString();
  const config = text ? JSON.parse(text) : {};
  const wrong = (pointer, message) => ({ diagnostics: [{ pointer, message }] });
  for (const [key, value] of Object.entries(config)) {
    if (key !== "weights") return wrong("", `additional properties '${key}' not allowed`);
    if (typeof value !== "string") return wrong("/weights", `got ${typeof value}, want string`);
  }
  shape = request.input_shape;
  classes = request.classes;
  model = null;
  if (!config.weights) return {};
  let bytes;
  try {
    bytes = fs.readFileSync(path.resolve(request.base_dir, config.weights));
  } catch (e) {
    return wrong("/weights", e.message);
  }
  const saved = JSON.parse(bytes);
  const asked = shape.length ? size(shape) : size(saved.shape);
  if (asked !== size(saved.shape) || (classes && classes !== saved.classes))
    return wrong("/weights", `the weights are for rows of ${saved.shape.join("×")} and ${saved.classes} classes`);
  load(saved, bytes);
  return {};
}

function load(saved, bytes) {
  shape = saved.shape;
  classes = saved.classes;
  model = new Softmax(size(shape), classes, Float32Array.from(saved.weights));
  digest = "sha256:" + crypto.createHash("sha256").update(bytes).digest("hex");
}

function predict(request) {
  for (const name of request.outputs) if (name !== "output") throw fail("INVALID_ARGUMENT", `unknown output ${name}`);
  const { n, data } = rows(request.x, size(shape), "x");
  return { outputs: { output: tensor([n, classes], model.predict(data, n)) } };
}

function gradient(request) {
  const { n } = rows(request.x, size(shape), "x");
  const [name, ...more] = Object.keys(request.cotangents);
  if (name !== "output" || more.length) throw fail("INVALID_ARGUMENT", "want a cotangent of output alone");
  const dy = rows(request.cotangents.output, classes, "the cotangent");
  if (dy.n !== n) throw fail("INVALID_ARGUMENT", `${dy.n} cotangents for ${n} rows`);
  return { dx: tensor([n, ...shape], model.gradient(dy.data, n)) };
}

// Fit reads everything before it trains.
function fit(call) {
  let options = null;
  const x = [];
  const labels = [];
  call.on("data", ({ step, options: o, rows: r }) => {
    if (step === "options") options = o;
    else if (r.split === "TRAIN") {
      x.push(r.x.data);
      for (let i = 0; i < r.labels.data.length; i += 8) labels.push(Number(r.labels.data.readBigInt64LE(i)));
    }
  });
  call.on("end", () => {
    try {
      const settings = { epochs: 100, learning_rate: 0.5, ...JSON.parse(options.options_json.toString() || "{}") };
      const data = floats(Buffer.concat(x), "x");
      const fitted = new Softmax(size(shape), classes);
      for (let epoch = 1; epoch <= settings.epochs && !call.cancelled; epoch++) {
        const loss = fitted.step(data, labels, settings.learning_rate);
        call.write({ progress: { epoch, step: 1, steps: 1, metrics: { loss } } });
      }
      const saved = { shape, classes, weights: Array.from(fitted.weights) };
      const bytes = Buffer.from(JSON.stringify(saved));
      fs.writeFileSync(path.join(options.output_dir, "weights.json"), bytes);
      load(saved, bytes);
      const files = [{ name: "weights.json", sha256: digest.slice("sha256:".length) }];
      call.write({ done: { config_json: Buffer.from('{"weights": "weights.json"}'), files, digest } });
      call.end();
    } catch (e) {
      console.error(e.stack);
      call.emit("error", e.code ? e : fail("INTERNAL", e.message));
    }
  });
}

// A function of a request as a handler; what it throws is a status.
const unary = (f) => (call, answer) => {
  try {
    answer(null, f(call.request));
  } catch (e) {
    if (e.code === undefined) console.error(e.stack);
    answer(e.code === undefined ? fail("INTERNAL", e.message) : e);
  }
};

const here = path.dirname(fileURLToPath(import.meta.url));
const proto = [`${here}/classifier.proto`, `${here}/../../sdk/proto/classifier.proto`].find((f) => fs.existsSync(f));
const types = loader.loadSync(proto, { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true });
const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
const server = new grpc.Server(unlimited);
server.addService(grpc.loadPackageDefinition(types).vaeguard.classifier.v1.Classifier.service, {
  Describe: unary(describe),
  Configure: unary(configure),
  Predict: unary(predict),
  Gradient: unary(gradient),
  Fit: fit,
}); // Differentiate, and the services of go-plugin that are not below, answer UNIMPLEMENTED
const bytes = (b) => b;
const serving = Buffer.from([0x08, 0x01]); // HealthCheckResponse{status: SERVING}
server.register("/grpc.health.v1.Health/Check", (_, answer) => answer(null, serving), bytes, bytes, "unary");
server.register("/plugin.GRPCController/Shutdown", (_, answer) => {
  answer(null, Buffer.alloc(0));
  server.tryShutdown(() => process.exit(0));
  setTimeout(() => process.exit(0), 500).unref();
}, bytes, bytes, "unary");

const { cert, key } = selfSigned();
const credentials = grpc.ServerCredentials.createSsl(
  Buffer.from(PLUGIN_CLIENT_CERT), [{ private_key: Buffer.from(key), cert_chain: Buffer.from(pem(cert)) }], true);
const socket = path.join(PLUGIN_UNIX_SOCKET_DIR, "node");
server.bindAsync(`unix:${socket}`, credentials, (error) => {
  if (error) throw error;
  fs.writeSync(1, `1|1|unix|${socket}|grpc|${cert.toString("base64").replace(/=+$/, "")}\n`);
  console.log = console.error; // stdout has said what it had to say
});
