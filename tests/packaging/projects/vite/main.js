import { LoraLoom } from "loraloom";
import "loraloom/element";
import { learnAndAnswer } from "../learn-and-answer.js";

learnAndAnswer("library/registry.json", LoraLoom);
