{{/* Models from a volume: the init container that checks them, the mount, the volume. Empty where the images' own are served. */}}
{{- define "vultus.models.container" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.models.existingClaim }}
- name: models
  image: {{ index . 1 }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [sh, -c]
  args:
    - |
      {{- $root.Files.Get "files/check-models" | nindent 6 }}
  env:
    - {name: MODELS, value: /models}
    - {name: SHA256, value: {{ $root.Values.models.sha256 | quote }}}
  resources:
    requests: {cpu: 100m, memory: 32Mi, ephemeral-storage: 50Mi}
    limits: {memory: 256Mi, ephemeral-storage: 64Mi}
  securityContext: {{- include "vultus.rights" (index . 2) | nindent 4 }}
  volumeMounts:
    {{- include "vultus.models.mount" $root | nindent 4 }}
{{- end }}
{{- end }}

{{- define "vultus.models.mount" -}}
{{- with .Values.models }}
{{- if .existingClaim -}}
- {name: models, mountPath: /models, readOnly: true{{ with .subPath }}, subPath: {{ . | quote }}{{ end }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "vultus.models.volume" -}}
{{- with .Values.models }}
{{- if .existingClaim -}}
- name: models
  persistentVolumeClaim: {claimName: {{ .existingClaim }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}
