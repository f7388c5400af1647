import { useState } from "react";

import type { Live } from "@/call/live";
import type { LiveState, Sound } from "@/call/live-state";
import { STRINGS } from "@/strings";
import { Button, SHORT_CHOICE } from "@/ui/controls";
import { Icon } from "@/ui/icons";

import { DeviceChoice } from "./device-choice";

/** What is heard with the picture, and a switch that silences it. */
export function SoundChoice({ live, state }: { live: Live; state: LiveState }) {
  const [refused, setRefused] = useState(false);
  const given = (state.source?.stream.getAudioTracks().length ?? 0) > 0;
  const choose = async (sound: Sound, deviceId?: string): Promise<void> => {
    try {
      await live.hear(sound, deviceId);
      setRefused(false);
    } catch {
      setRefused(true); // nothing changed
    }
  };
  return (
    <>
      <select
        data-testid="sound"
        aria-label={STRINGS.sound}
        title={STRINGS.soundHint}
        className={SHORT_CHOICE}
        value={state.sound}
        onChange={(event) => void choose(event.target.value as Sound)}
      >
        <option value="off">{STRINGS.sounds.off}</option>
        <option value="microphone">{STRINGS.sounds.microphone}</option>
        {given && <option value="source">{STRINGS.sounds.source}</option>}
      </select>
      {state.sound === "microphone" && (
        <DeviceChoice
          kind="audioinput"
          label={STRINGS.chooseMicrophone}
          testId="microphone-device"
          value={state.microphone}
          onChoose={(deviceId) => void choose("microphone", deviceId)}
        />
      )}
      {state.sound !== "off" && (
        <Button
          data-testid="mute"
          pressed={state.muted}
          title={STRINGS.mute}
          aria-label={STRINGS.mute}
          onClick={() => live.mute(!state.muted)}
        >
          <Icon name="mute" />
        </Button>
      )}
      {refused && (
        <p role="alert" className="order-last w-full text-sm text-muted">
          {STRINGS.noMicrophone}
        </p>
      )}
    </>
  );
}
