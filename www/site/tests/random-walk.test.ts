// A seeded random walk over everything that can be pressed and typed, with an engine that answers late. After
// every action, nothing on the page may belong to another task, another mix or another input than it says,
// and nothing typed may be lost. WALK=10000 walks further than the 300 actions of an ordinary run, SEED begins
// elsewhere.

import type { Example, RecipeDraft } from "loraloom";
import { afterEach, expect, test, vi } from "vitest";
import { restoreInput } from "../src/state/workbench/input.js";
import { showMixTask } from "../src/state/workbench/mix.js";
import { type FakeLoom, weightsOf } from "./fake-loom.js";
import { openPage, type Page } from "./page.js";

afterEach(() => vi.unstubAllGlobals());

const ACTIONS = Number(process.env.WALK ?? 300);
const SEED = Number(process.env.SEED ?? 1);

/** Numbers from 0 to 1, the same for a seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Link = Pick<RecipeDraft, "title" | "instruction" | "examples" | "composition" | "scales">;

/** Makes links that can be read: JSON in hexadecimal digits. */
function readableLinks(client: FakeLoom): void {
  client.share = async ({ title, instruction = null, examples = [], composition, scales }) => {
    const link = { title, instruction, examples, composition, scales };
    return Buffer.from(JSON.stringify(link)).toString("hex");
  };
  client.restore = async (fragment) => {
    const link = readLink(fragment);
    await client.load();
    const recipe = {
      registry: "./library/registry.json",
      base: { id: "small", hash: "" },
      modules: link.composition.modules.map((one) => ({ ...one, hash: "" })),
      merge: link.composition.merge,
      precision: "int8" as const,
      ...link,
    };
    const { composition, scales } = link;
    if (!scales) return { recipe, composition };
    const { id } = await client.addScaled({ composition, scales });
    return { recipe, composition: { modules: [{ id, weight: 1 }], merge: "delta" } };
  };
}

const readLink = (fragment: string): Link => JSON.parse(Buffer.from(fragment, "hex").toString());

const turns = (count: number) => new Promise((resolve) => setTimeout(resolve, count));

const filled = (examples: Example[]) =>
  examples.filter(({ input, output }) => input.trim() && output.trim());

/** Every text of the table and of one's own tasks, and with the steps of undo. */
function texts({ bench }: Page) {
  const { task, drafts, undo, redo } = bench.bench.value;
  const of = (tasks: typeof drafts) =>
    tasks.flatMap(({ examples }) => examples.flatMap(({ input, output }) => [input, output]));
  const shown = of([...(task?.own ? [task] : []), ...drafts]).filter((one) => one.trim());
  return { shown: new Set(shown), all: new Set([...shown, ...of([...undo, ...redo])]) };
}

/** What must hold at every moment. */
function check(page: Page): void {
  const { bench, client, share, answer } = page;
  const { mix, task } = bench.bench.value;
  const composition = bench.unpolishedMix.value;
  const scales = mix?.desk.tuned?.scales;
  // What the fake engine adds to what it writes.
  const heard = weightsOf(composition) + (scales ? ` scaled ${scales.values}` : "");

  if (mix?.origin === "learned") {
    // The task is one that a run really had.
    expect(client.learned.map(({ examples }) => examples)).toContainEqual(mix.task?.examples);
    expect(Object.isFrozen(mix.task?.examples[0])).toBe(true);
    // What was learned has what was held, unless it was opened again from its link.
    for (const { id, weight } of mix.options?.held ?? []) {
      expect(mix.initial.find((one) => one.id === id)?.weight ?? 0).toEqual(weight);
    }
  }
  const same = mix?.task && task && filled(task.examples);
  expect(bench.mixRelation.value === "same").toBe(
    Boolean(same) && JSON.stringify(same) === JSON.stringify(filled(mix?.task?.examples ?? [])),
  );

  if (share.link.value) {
    const link = readLink(new URL(share.link.value).hash.slice(1));
    expect(link.title).toBe(mix?.title.trim() || "My task");
    expect(link.composition).toEqual(composition);
    expect(link.scales).toEqual(scales);
    expect([[], mix?.task?.examples]).toContainEqual(link.examples);
  }

  const answers = bench.answers.value;
  if (answers?.base?.done) expect(answers.base.text).toBe(`base ${answers.input}.`);
  if (answers?.composed?.done && answers.current) {
    expect(answers.composed.text).toBe(`composed${heard} ${answers.input}.`);
  }
  if (answer.expected.value && answers) {
    const known = [
      ...(answer.testSet.value?.examples ?? []),
      ...(bench.tested.value?.examples ?? []),
    ];
    expect(known).toContainEqual({ input: answers.input, output: answer.expected.value });
  }

  const checks = bench.checks.value;
  if (checks) {
    const answers = mix?.task?.examples.map(({ output }) => output + heard);
    expect(checks.assessment.answers.map(({ answer }) => answer)).toEqual(answers);
  }
  const tests = bench.tests.value;
  if (tests?.composed?.result) {
    const [first] = tests.composed.result.answers;
    expect(first?.answer).toBe(`${first?.expected}${heard}`);
    expect(tests.setId).toBe(mix?.task?.id ?? "");
  }
}

test(
  `${ACTIONS} random actions produce no wrong label, lost example or stale answer`,
  async () => {
    const random = randomNumbers(SEED);
    const pick = <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
    let page = await openPage(undefined, undefined, readableLinks);
    const follow = () => {
      page.share.keepLinkCurrent();
      page.follow.followFaders();
    };
    follow();
    const links: string[] = [];
    let typed = 0;
    const row = () => Math.floor(random() * Math.max(1, page.task.examples.value.length));
    const use = (stay: Example[]) => {
      const asked = page.task.incoming.value;
      if (asked) page.task.putInTable(asked, stay);
    };
    const fader = () => pick(page.mix.rows.value)?.id ?? "one";

    /** Actions that may replace text by what is typed; all others keep every text that is shown. */
    const typing = {
      edit: () => page.task.editExample(row(), pick(["input", "output"]), `word ${++typed}`),
      clear: () => page.task.editExample(row(), pick(["input", "output"]), ""),
      remove: () => page.task.removeExample(row()),
      replace: () => use([]),
      undo: page.task.undoTable,
      redo: page.task.redoTable,
    };
    const others = {
      choose: () =>
        page.task.chooseTask(
          pick(["first", "second", "", ...page.bench.drafts.value.map(({ id }) => id)]),
        ),
      add: page.task.addExample,
      paste: () => page.task.pasteExamples(`in ${++typed}\tout ${typed}\nin b ${typed}\tout b`),
      addBelow: () => use(page.task.examples.value),
      leave: () => {
        page.task.incoming.value = null;
      },
      input: () => page.answer.setInput(`input ${++typed}`),
      nextInput: () => page.answer.nextTestInput(),
      press: () => void page.workflow.learnAndAnswer(),
      pressAndWait: () => page.workflow.learnAndAnswer(),
      stop: page.learn.stopLearning,
      cancel: page.session.cancelLoading,
      answer: () => void page.answer.answer(),
      answerAndWait: () => page.answer.answer(),
      stopAnswer: page.answer.stopAnswering,
      test: () => void page.answer.runTest(),
      leaveOut: () => void page.learn.leaveOneOut(),
      drag: () => page.mix.setWeight(fader(), random() * 3 - 1, random() < 0.5),
      mute: () => page.mix.toggleMute(fader()),
      solo: () => page.mix.toggleSolo(fader()),
      hold: () => page.mix.toggleHold(fader()),
      rest: () => void page.workflow.learnAndAnswer(true),
      restAndWait: () => page.workflow.learnAndAnswer(true),
      polish: () => void page.polish.polish(),
      polishAndWait: () => page.polish.polish(),
      stopPolish: page.polish.stopPolishing,
      reset: () => page.mix.resetWeight(fader()),
      resetAll: page.mix.resetDesk,
      undoDesk: page.mix.undoDesk,
      redoDesk: page.mix.redoDesk,
      keep: () => page.mix.keep(pick(["A", "B"])),
      recall: () => page.mix.recall(pick(["A", "B"])),
      showTask: () => page.bench.update((now) => showMixTask(now, page.bench.ownId())),
      restoreInput: () => page.bench.update(restoreInput),
      name: () => page.share.setTitle(`name ${++typed}`),
      withExamples: () => {
        page.share.withExamples.value = !page.share.withExamples.value;
      },
      open: async () => {
        if (!links.length) return;
        page.tab.location.hash = pick(links);
        await page.workflow.restoreFromAddress();
      },
      precision: () => void page.session.changeEngine({ precision: pick(["int8", "f32"]) }),
      wait: () => turns(20),
      settle: () => turns(200),
      reload: async () => {
        const { learned } = page.client;
        page = await openPage(undefined, page.tab, readableLinks);
        page.client.learned.push(...learned);
        follow();
      },
    };
    const actions = Object.entries<() => unknown>({ ...typing, ...others });

    for (let step = 0; step < ACTIONS; step++) {
      const [name, act] = pick(actions);
      const before = texts(page);
      const shown = page.share.link.value;
      if (shown) links.push(new URL(shown).hash.slice(1));
      try {
        await act();
        check(page);
        if (name !== "reload") {
          const after = texts(page);
          const kept = name in typing ? after.all : after.shown;
          // Typing on in a cell replaces what was being typed there.
          const may = name === "edit" || name === "clear" ? 1 : 0;
          expect([...before.shown].filter((text) => !kept.has(text)).length).toBeLessThanOrEqual(
            may,
          );
        }
        await turns(Math.floor(random() * 4));
        check(page);
      } catch (error) {
        throw new Error(`step ${step} of seed ${SEED}: ${name}`, { cause: error });
      }
    }
    await turns(500);
    check(page);
  },
  60_000 + 100 * ACTIONS,
);
