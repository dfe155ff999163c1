"use client";

import { LoraLoom } from "loraloom";
import "loraloom/element";
import { useEffect } from "react";
import { learnAndAnswer } from "../../learn-and-answer.js";

export default function Page() {
  useEffect(() => {
    learnAndAnswer("library/registry.json", LoraLoom);
  }, []);
  return <output />;
}
