// What a run had found whose engine was ended within an evaluation. A module of its own, as pages rarely need it.

import type { Evaluation, LearnResult } from "./protocol.js";

/** The result of evaluations whose run has given none, over that of a run that learned nothing. */
export function bestOf(history: Evaluation[], nothing: LearnResult): LearnResult {
  const whole = history.filter(({ complete, loss }) => complete && Number.isFinite(loss));
  const isBase = ({ weights }: Evaluation) => weights.every(({ weight }) => weight === 0);
  const sum = (of: (one: Evaluation) => number) => history.reduce((all, one) => all + of(one), 0);
  const [first, ...others] = whole;
  if (!first) return nothing;
  const best = others.reduce((least, one) => (one.loss < least.loss ? one : least), first);
  return {
    ...nothing,
    modules: best.weights,
    lossStart: whole.find(isBase)?.loss ?? nothing.lossStart,
    loss: best.loss,
    evaluations: sum(({ cost }) => cost),
    selectEvaluations: sum(({ phase, cost }) => (phase === "select" ? cost : 0)),
    seconds: sum(({ seconds }) => seconds),
  };
}
