{{/* What both tiers' pods have: who they run as, where. Called with (list root component tier-values). */}}
{{- define "vultus.pod" -}}
{{- $root := index . 0 -}}{{- $tier := index . 2 -}}
serviceAccountName: {{ include "vultus.fullname" $root }}-{{ index . 1 }}
automountServiceAccountToken: false
# The gateway refuses variables VULTUS_... that it does not know, and Services of that name would bring some.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add $tier.ending.pauseSeconds $tier.ending.finishSeconds $tier.ending.marginSeconds }}
securityContext:
  runAsNonRoot: true
  fsGroup: {{ index . 3 }}
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $tier.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $tier.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "vultus.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{/* Called with a numeric user. */}}
{{- define "vultus.rights" -}}
runAsUser: {{ . }}
runAsGroup: {{ . }}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "vultus.profile" -}}{{ index .Values.triton .Values.triton.device | toYaml }}{{- end }}

{{/* Resources of the Triton container, with its share of a GPU. */}}
{{- define "vultus.triton.resources" -}}
{{- $profile := include "vultus.profile" . | fromYaml -}}
{{- $device := dict -}}
{{- if eq .Values.triton.device "gpu" }}{{ $device = dict $profile.resource (int $profile.count) }}{{ end -}}
requests: {{ merge (dict) $device $profile.resources.requests | toYaml | nindent 2 }}
limits: {{ merge (dict) $device $profile.resources.limits | toYaml | nindent 2 }}
{{- end }}

{{/* The Triton container of both layouts. */}}
{{- define "vultus.triton.container" -}}
{{- $single := eq .Values.layout "single" -}}
{{- $profile := include "vultus.profile" . | fromYaml -}}
name: triton
image: {{ include "vultus.image" (list . .Values.triton.image $profile.tagSuffix) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  {{- toYaml $profile.args | nindent 2 }}
  {{- if $single }}
  # gRPC is for the gateway beside it; over HTTP there are probes and what Triton says of itself, no inference (docker/triton/start).
  - --grpc-address=127.0.0.1
  {{- end }}
  {{- if .Values.triton.tls.enabled }}
  - --grpc-use-ssl=true
  - --grpc-use-ssl-mutual=true
  - --grpc-server-cert=/certificates/tls.crt
  - --grpc-server-key=/certificates/tls.key
  - --grpc-root-cert=/certificates/ca.crt
  {{- end }}
  {{- with .Values.triton.args }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $env := merge (dict) .Values.triton.env $profile.env }}
{{- if $single }}{{ $env = merge (dict) $env (dict "TRITON_SHUT" "model-repository,trace,logging") }}{{ end }}
{{- if $env }}
env:
  {{- range $name, $value := $env }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
{{- end }}
ports:
  - {name: triton-http, containerPort: 8000}
  {{- if not $single }}
  - {name: grpc, containerPort: 8001}
  {{- end }}
  - {name: metrics, containerPort: 8002}
startupProbe:
  httpGet: {path: /v2/health/ready, port: triton-http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: {{ div (add $profile.startSeconds 4) 5 }}
# Triton's own health says live while a model hangs, as one may when a client vanishes (gateway/README.md).
livenessProbe:
  exec: {command: [vultus-triton-alive]}
  periodSeconds: 10
  timeoutSeconds: 15
  failureThreshold: 3
{{- if not $single }}
readinessProbe:
  httpGet: {path: /v2/health/ready, port: triton-http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
lifecycle:
  preStop:
    exec: {command: [sleep, {{ .Values.triton.ending.pauseSeconds | quote }}]}
{{- end }}
resources: {{- include "vultus.triton.resources" . | nindent 2 }}
securityContext: {{- include "vultus.rights" $profile.user | nindent 2 }}
volumeMounts:
  - {name: triton-tmp, mountPath: /tmp}
  {{- with include "vultus.models.mount" . }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if $profile.sharedMemorySize }}
  - {name: shared-memory, mountPath: /dev/shm}
  {{- end }}
  {{- if .Values.triton.tls.enabled }}
  - {name: certificates, mountPath: /certificates, readOnly: true}
  {{- end }}
  {{- with .Values.triton.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "vultus.triton.volumes" -}}
{{- $profile := include "vultus.profile" . | fromYaml -}}
- name: triton-tmp
  emptyDir: {sizeLimit: {{ $profile.tmpSize }}}
{{- with $profile.sharedMemorySize }}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ . }}}
{{- end }}
{{- if .Values.triton.tls.enabled }}
- name: certificates
  secret: {secretName: {{ .Values.triton.tls.serverSecret }}, defaultMode: 0440}
{{- end }}
{{- with .Values.triton.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
