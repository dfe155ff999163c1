// A user's page that takes the package from the origin in its address, as from a CDN.

import { learnAndAnswer } from "../learn-and-answer.js";

const { LoraLoom } = await import(new URLSearchParams(location.search).get("package"));
learnAndAnswer("../library/registry.json", LoraLoom);
