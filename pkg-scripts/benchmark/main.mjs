// Runs the benchmark: takes turns between one thread, two, the ceilings and the contenders, prints
// a line per row and writes the JSON. Called by pkg-scripts/bench, which builds what is measured.
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { CONTENDERS, GPU_CONTENDERS, openContender } from "./contenders.mjs";
import { GPU_NAMES, measureGpu } from "./gpu.mjs";
import { measureHub } from "./hub.mjs";
import { jsonRow, median, printGrowth, printHead, printRow } from "./report.mjs";
import { CEILINGS, DEFAULT_MODELS, HUB_MODELS, MODELS, NAMES, plan } from "./rows.mjs";
import { Browser, NativeRunner } from "./runners.mjs";
import { QUICK_TURNS, TURNS, takeTurns, warmUp } from "./turns.mjs";

const THREADS = [1, 2];

function settings() {
  // parseArgs does not support options with several values.
  const lists = { "--only": [], "--model": [], "--versus": [] };
  const rest = [];
  let versus = false;
  let list;
  for (const argument of process.argv.slice(2)) {
    if (argument in lists) {
      list = lists[argument];
      versus ||= argument === "--versus";
    } else if (list && !argument.startsWith("--")) list.push(argument);
    else {
      list = undefined;
      rest.push(argument);
    }
  }
  const { values } = parseArgs({
    args: rest,
    options: {
      native: { type: "boolean", default: false },
      gpu: { type: "boolean", default: false },
      growth: { type: "boolean", default: false },
      hub: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
    },
  });
  const known = (names, all, what) => {
    const unknown = names.find((name) => !all.includes(name));
    if (unknown) {
      console.error(`error: there is no ${what} ${unknown}\n       There are: ${all.join(", ")}`);
      process.exit(1);
    }
    return names;
  };
  const rivals = values.gpu ? GPU_CONTENDERS : CONTENDERS;
  const contenders = known(lists["--versus"], rivals, "contender");
  return {
    ...values,
    only: known(lists["--only"], values.gpu ? GPU_NAMES : NAMES, "measurement"),
    models:
      lists["--model"].length > 0 ? known(lists["--model"], MODELS, "geometry") : DEFAULT_MODELS,
    contenders: versus && contenders.length === 0 ? rivals : contenders,
  };
}

const options = settings();
const turns = options.quick ? QUICK_TURNS : TURNS;
const sessions = options.gpu
  ? []
  : plan({ only: options.only, models: options.models, grows: options.growth });
const browser =
  (options.native && options.contenders.length === 0) || sessions.length === 0
    ? undefined
    : await Browser.open();
const open = async (threads) =>
  options.native ? new NativeRunner(threads) : await browser.loraloom(threads);

/** One runner per number of threads that measures ceilings in the turns of every other row. */
const ceilingRunners = new Map();
async function ceilingRunner(threads, unit) {
  const found = ceilingRunners.get(threads) ?? { runner: await open(threads) };
  ceilingRunners.set(threads, found);
  if (found.unit !== unit) {
    found.work = await found.runner.prepare(CEILINGS[unit]);
    found.unit = unit;
    await found.runner.sample();
  }
  return found;
}

async function measureRow(row, ours, contenders) {
  const parties = [];
  for (const [threads, runner] of ours) {
    const work = await runner.prepare(row.workload);
    if (!row.long) await warmUp(runner);
    parties.push({ threads, runner, work });
  }
  for (const threads of row.ceiling ? THREADS : []) {
    const { runner, work } = await ceilingRunner(threads, row.ceiling.unit);
    parties.push({ ceilingOf: threads, runner, work });
  }
  for (const contender of contenders) {
    if (!contender.takes(row)) continue;
    const work = await contender.runner.prepare(row.workload);
    if (!row.long) await warmUp(contender.runner);
    parties.push({ contender, threads: contender.threads, runner: contender.runner, work });
  }
  await takeTurns(parties, turns, row.long);

  const seconds = (party) => party.samples.map((sample) => sample.seconds);
  return THREADS.map((threads) => {
    const mine = parties.find((party) => party.threads === threads && !party.contender);
    const values = mine.samples.map((sample) => row.value({ ...sample, work: mine.work }));
    const ceiling = parties.find((party) => party.ceilingOf === threads);
    const rate = (party) => row.ceiling.amount(party.work) / median(seconds(party));
    const rivals = parties.filter((party) => party.contender && party.threads === threads);
    return {
      ...row,
      threads,
      multiplyAdds: mine.work.multiplyAdds,
      value: median(values),
      best: row.more ? Math.max(...values) : Math.min(...values),
      ceilingShare: ceiling ? rate(mine) / rate(ceiling) : null,
      versus: Object.fromEntries(
        rivals.map((rival) => [
          rival.contender.name,
          median(seconds(rival)) / median(seconds(mine)),
        ]),
      ),
    };
  });
}

/** Peak memory after a load and a use, of a runner that does nothing else. */
async function measureMemory(row, ours) {
  const measured = [];
  for (const [threads, runner] of ours) {
    await runner.prepare(row.workload);
    await runner.sample();
    await runner.prepare(row.afterwards);
    await runner.sample();
    const { peak, model } = await runner.memory();
    const value = peak / 1e6;
    const shape = `${row.shape}; packed weights ${(model / 1e6).toFixed(0)} MB`;
    measured.push({ ...row, shape, threads, value, best: value, ceilingShare: null, versus: {} });
  }
  return measured;
}

const results = [];
printHead(options);
for (const rows of sessions) {
  const ours = new Map();
  const contenders = [];
  try {
    for (const threads of THREADS) {
      const runner = await open(threads);
      ours.set(threads, runner);
      if (rows[0].model) await runner.addModel(rows[0].model);
      for (const file of rows[0].files ?? []) await runner.addLibraryFile(file);
    }
    for (const name of options.contenders) {
      for (const contender of await openContender(name, rows, browser)) contenders.push(contender);
    }
    for (const row of rows) {
      const measured =
        row.name === "memory"
          ? await measureMemory(row, ours)
          : await measureRow(row, ours, contenders);
      for (const result of measured) {
        printRow(result);
        results.push(result);
      }
    }
  } finally {
    for (const runner of [...ours.values(), ...contenders.map(({ runner }) => runner)]) {
      await runner.close();
    }
  }
}
for (const { runner } of ceilingRunners.values()) await runner.close();

let gpu;
if (options.gpu) {
  gpu = await measureGpu({ ...options, turns }, (result) => {
    printRow(result);
    results.push(result);
  });
}

if (options.hub) {
  const models = options.models.filter((model) => HUB_MODELS.includes(model));
  await measureHub(models, (result) => {
    printRow(result);
    results.push(result);
  });
}

if (options.growth) printGrowth(results);

const where = browser ? browser.version() : options.hub ? "Chromium" : (gpu ?? "native");
const machine = `${cpus()[0].model.trim()}, ${availableParallelism()} cores, ${where}`;
await browser?.close();
console.log(`\n   ${machine}`);
if (options.json) {
  writeFileSync(
    options.json,
    `${JSON.stringify({ machine, rows: results.map(jsonRow) }, null, 1)}\n`,
  );
  console.log(`   written to ${options.json}`);
}
