import { useRef } from "react";

import type { Source } from "@/call/live-state";
import { STRINGS } from "@/strings";
import { Button } from "@/ui/controls";
import { FilePicker } from "@/ui/file-picker";
import { Icon } from "@/ui/icons";

import { DeviceChoice } from "./device-choice";
import { canShareScreen, openCamera, openFile, openScreen } from "./open-source";

type Open = (open: () => Promise<Source>) => void;

const KINDS = ["camera", "screen", "file"] as const;

interface SourceButtonsProps {
  onOpen: Open;
  active: Source["kind"] | null;
  large?: boolean;
}

/** Camera, screen or file. */
export function SourceButtons({ onOpen, active, large = false }: SourceButtonsProps) {
  const picker = useRef<HTMLInputElement>(null);
  const choose = (kind: Source["kind"]): void => {
    if (kind === "camera") onOpen(() => openCamera());
    else if (kind === "screen") onOpen(openScreen);
    else picker.current?.click();
  };
  return (
    <div className={`flex flex-wrap ${large ? "justify-center gap-2" : "gap-1.5"}`}>
      {KINDS.filter((kind) => kind !== "screen" || canShareScreen()).map((kind, index) => (
        <Button
          key={kind}
          data-testid={`start-${kind}`}
          look={large && index === 0 ? "strong" : "plain"}
          title={STRINGS[kind]}
          className={large ? "min-h-12 px-5 text-base" : ""}
          onClick={() => choose(kind)}
          {...(large ? {} : { pressed: active === kind })}
        >
          <Icon name={kind} />
          <span className={large ? "" : "sr-only"}>{STRINGS[kind]}</span>
        </Button>
      ))}
      <FilePicker
        picker={picker}
        accept="video/*,image/*"
        testId="file-picker"
        label={STRINGS.file}
        onPick={(file) => onOpen(() => openFile(file))}
      />
    </div>
  );
}

/** Which camera, where there are several. */
export function CameraChoice({ source, onOpen }: { source: Source; onOpen: Open }) {
  return (
    <DeviceChoice
      kind="videoinput"
      label={STRINGS.chooseCamera}
      testId="camera-device"
      value={source.stream.getVideoTracks()[0]?.getSettings().deviceId ?? ""}
      onChoose={(deviceId) => onOpen(() => openCamera(deviceId))}
    />
  );
}
