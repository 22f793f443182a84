{{- define "vultus.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "vultus.fullname" -}}
{{- $name := include "vultus.name" . -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "vultus.gateway" -}}{{ include "vultus.fullname" . }}-gateway{{- end }}
{{- define "vultus.triton" -}}{{ include "vultus.fullname" . }}-triton{{- end }}

{{/* Labels that select. Called with (list root component). */}}
{{- define "vultus.selector" -}}
app.kubernetes.io/name: {{ include "vultus.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Labels of objects without a tier. */}}
{{- define "vultus.common" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: vultus
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Name, namespace and labels. Called with (list root component) and optionally a name. */}}
{{- define "vultus.metadata" -}}
{{- $root := index . 0 -}}
name: {{ if gt (len .) 2 }}{{ index . 2 }}{{ else }}{{ include "vultus.fullname" $root }}-{{ index . 1 }}{{ end }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "vultus.selector" . | nindent 2 }}
  {{- include "vultus.common" $root | nindent 2 }}
{{- end }}

{{/* An image's reference. Called with (list root image suffix-of-the-tag). */}}
{{- define "vultus.image" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (print $root.Chart.AppVersion (index . 2)) }}{{ end }}
{{- end }}
