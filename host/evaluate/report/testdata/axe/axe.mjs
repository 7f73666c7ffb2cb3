// Opens pages in Chromium, light and dark, wide and narrow, and on paper, and fails
// on what axe-core finds serious, on a page that scrolls sideways, on a table that
// paper would cut, and on a script that does not work:
//
//	node axe.mjs PAGE…
//
// A page is a file, or the address of a server's live page, which is looked at once it shows a flagged input. CHROMIUM is the browser; default chromium. It is spoken with through a pipe, by the
// DevTools protocol.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const profile = mkdtempSync(join(tmpdir(), "axe-"));
const browser = spawn(process.env.CHROMIUM || "chromium",
  ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=" + profile, "--remote-debugging-pipe"],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
browser.on("error", (err) => { console.error(String(err)); process.exit(1); });

const waiting = new Map(), events = [];
let last = 0, rest = "";
browser.stdio[4].setEncoding("utf8");
browser.stdio[4].on("data", (text) => {
  const parts = (rest + text).split("\0");
  rest = parts.pop();
  for (const part of parts) {
    const m = JSON.parse(part), call = waiting.get(m.id);
    if (!call) {
      for (const e of events.filter((e) => e.method === m.method && e.session === m.sessionId)) e.done(m.params);
      continue;
    }
    waiting.delete(m.id);
    m.error ? call.reject(new Error(call.method + ": " + m.error.message)) : call.done(m.result);
  }
});
function send(method, params = {}, sessionId) {
  return new Promise((done, reject) => {
    waiting.set(++last, { done, reject, method });
    browser.stdio[3].write(JSON.stringify({ id: last, method, params, sessionId }) + "\0");
  });
}
const once = (method, session) => new Promise((done) => events.push({ method, session, done }));

const live = /^https?:/;
const drawn = `new Promise((done, fail) => {
  const end = Date.now() + 180000;
  (function look() {
    if (document.querySelector("section.model .flagged li p") && document.querySelector("section.model .p").children.length) done();
    else if (Date.now() > end) fail(new Error("no flagged input is drawn: " + document.body.innerText.slice(0, 300)));
    else setTimeout(look, 100);
  })();
})`;

let faults = 0;
const fault = (text) => { faults++; console.error(text); };

async function open(page, { width, scheme, media = "screen" }) {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const to = (method, params) => send(method, params, sessionId);
  await to("Page.enable");
  await to("Emulation.setDeviceMetricsOverride", { width, height: 1600, deviceScaleFactor: 1, mobile: false });
  await to("Emulation.setEmulatedMedia", { media, features: [{ name: "prefers-color-scheme", value: scheme }] });
  const loaded = once("Page.loadEventFired", sessionId);
  const { errorText } = await to("Page.navigate", { url: live.test(page) ? page : pathToFileURL(resolve(page)).href });
  if (errorText) throw new Error(page + ": " + errorText);
  await loaded;
  return {
    async run(expression) {
      const r = await to("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
      if (r.exceptionDetails) throw new Error(r.exceptionDetails.exception?.description || r.exceptionDetails.text);
      return r.result.value;
    },
    close: () => send("Target.closeTarget", { targetId }),
  };
}

const findings = `axe.run({ resultTypes: ["violations"] }).then((r) => r.violations.map((v) =>
  [v.impact, v.id, v.nodes.length + " times", v.nodes[0].html.slice(0, 120), v.nodes[0].failureSummary].join("; ")))`;

// What the script does: a click sorts, the slider moves the threshold.
const works = `(() => {
  const out = [];
  const table = document.querySelector("table.sort");
  if (table) {
    const button = table.querySelector("thead button"), first = () => table.tBodies[0].rows[0].cells[0].textContent;
    button?.click();
    const down = first();
    button?.click();
    if (!button || table.tBodies[0].rows.length > 1 && down === first()) out.push("a click does not sort " + table.caption.textContent);
  }
  const slider = document.getElementById("slider");
  if (slider) {
    const input = slider.querySelector("input"), output = slider.querySelector("output"), before = output.textContent;
    input.value = 0;
    input.dispatchEvent(new Event("input"));
    if (slider.hidden || !before.includes("this detector's") || output.textContent === before) out.push("the slider does not work: " + output.textContent);
    if (!document.querySelector("g.moved[transform]")) out.push("the slider does not move the threshold");
  }
  return out;
})()`;

const paper = 703; // pixels of A4 within margins of 12 mm
const cut = `[...document.querySelectorAll("table")].filter((t) => t.getBoundingClientRect().right > innerWidth + 1).map((t) => t.caption?.textContent)`;

try {
  for (const page of process.argv.slice(2)) {
    for (const scheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        const at = page + ", " + scheme + ", " + width + " pixels: ", tab = await open(page, { width, scheme });
        if (live.test(page)) await tab.run(drawn);
        await tab.run(axe);
        for (const v of await tab.run(findings)) {
          if (/^(serious|critical)/.test(v)) fault(at + v);
          else console.error(at + v);
        }
        if (await tab.run("document.documentElement.scrollWidth > innerWidth")) fault(at + "the page scrolls sideways");
        for (const f of await tab.run(works)) fault(at + f);
        await tab.close();
      }
    }
    const tab = await open(page, { width: paper, scheme: "dark", media: "print" });
    if (live.test(page)) await tab.run(drawn);
    for (const caption of await tab.run(cut)) fault(page + ", on paper: cut: " + caption);
    await tab.close();
  }
} catch (err) {
  fault(String(err));
}
const ended = new Promise((done) => browser.on("exit", done));
send("Browser.close").catch(() => {});
setTimeout(() => browser.kill("SIGKILL"), 10000).unref();
await ended;
rmSync(profile, { recursive: true, force: true, maxRetries: 10 }); // its children take a moment more
if (!faults) console.log(process.argv.length - 2 + " pages, nothing serious");
process.exit(faults ? 1 : 0);
