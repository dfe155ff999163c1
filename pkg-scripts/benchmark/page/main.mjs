// The page of the benchmark: starts a worker for each runner and passes requests on to it. What it
// exports on `window` is called by runners.mjs.

const workers = new Map();

function start(name, script, options) {
  const worker = new Worker(script, { type: "module" });
  const waiting = [];
  worker.onmessage = ({ data }) => {
    const { resolve, reject } = waiting.shift();
    if (data.error === undefined) resolve(data.answer);
    else reject(new Error(data.error));
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(event.message));
  };
  const ask = (request, transfer = []) =>
    new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      worker.postMessage(request, transfer);
    });
  workers.set(name, { worker, ask });
  return ask({ op: "start", ...options });
}

function ask(name, request) {
  return workers.get(name).ask(request);
}

/** Hands a file of a random model, made by one worker, to another. */
async function passModel(from, to, model) {
  const bytes = await workers.get(from).ask({ op: "makeModel", model });
  await workers.get(to).ask({ op: "readModel", bytes }, [bytes.buffer]);
}

async function passFile(to, path, url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  await workers.get(to).ask({ op: "addFile", path, bytes }, [bytes.buffer]);
}

function stop(name) {
  workers.get(name)?.worker.terminate();
  workers.delete(name);
}

window.bench = { start, ask, passModel, passFile, stop };
