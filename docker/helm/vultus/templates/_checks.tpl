{{/* Combinations that a schema cannot refuse. */}}
{{- define "vultus.checks" -}}
{{- $split := eq .Values.layout "split" -}}
{{- if and $split (not .Values.secrets.name) }}
{{- fail "layout split: secrets.name must name the Secret with VULTUS_KEYS_URL and VULTUS_RATE_STORAGE_URL (docker/helm/README.md)" }}
{{- end }}
{{- if and (not $split) (ne .Values.autoscaling.kind "none") }}
{{- fail "layout single: one pod owns the volume, autoscaling.kind must be none" }}
{{- end }}
{{- if $split }}
{{- $scaled := ne .Values.autoscaling.kind "none" }}
{{- range $tier := list "gateway" "triton" }}
{{- $values := index $.Values $tier }}
{{- $least := int $values.replicas }}
{{- if $scaled }}{{ $least = int (index $.Values.autoscaling $tier).minReplicas }}{{ end }}
{{- $zero := and (eq $tier "triton") (eq $.Values.autoscaling.kind "keda") (eq $least 0) $.Values.autoscaling.triton.triggers }}
{{- if not $zero }}
{{- if lt $least 2 }}{{ fail (printf "%s: with fewer than 2 replicas each rollout and each drained node is an outage" $tier) }}{{ end }}
{{- range $what := list "strategy" "disruption" }}
{{- if ge (int (index $values $what).maxUnavailable) $least }}
{{- fail (printf "%s.%s.maxUnavailable: %d of %d may be missing, which is all of them" $tier $what (int (index $values $what).maxUnavailable) $least) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq (int $values.strategy.maxUnavailable) 0) (eq (int $values.strategy.maxSurge) 0) }}
{{- fail (printf "%s.strategy: with neither maxUnavailable nor maxSurge no rollout goes on" $tier) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.models.existingClaim (not .Values.models.sha256) }}
{{- fail "models.sha256: without it nobody checks what the volume holds" }}
{{- end }}
{{- with .Values.triton.tls }}
{{- if and .enabled (not $split) }}{{ fail "triton.tls: in one pod (layout single) the gateway asks Triton over the loopback" }}{{ end }}
{{- if and .enabled (not (and .serverSecret .clientSecret)) }}{{ fail "triton.tls: name serverSecret and clientSecret" }}{{ end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.tlsSecretName) (not .Values.ingress.insecure) }}
{{- fail "ingress.tlsSecretName is empty: faces would travel in the clear (ingress.insecure: true where something in front ends TLS)" }}
{{- end }}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.create.enabled) (not .Values.gatewayApi.parentRefs) }}
{{- fail "gatewayApi: name parentRefs, or create a Gateway" }}
{{- end }}
{{- end }}
