{{- define "sluice.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/component: load-balancer
{{- end }}

{{- define "sluice.serviceAccount" -}}
{{- default (include "sluice.name" .) .Values.serviceAccount.name -}}
{{- end }}

{{- /* A duration of sluice.yaml in milliseconds. */}}
{{- define "sluice.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- mul (int64 (regexFind "^[0-9]+" .)) (int64 (default 1000 (get $units (regexFind "[a-z]+$" .)))) -}}
{{- end }}

{{- /* The kubelet would kill a pod that still serves. */}}
{{- define "sluice.patience" -}}
{{- $shutdown := default dict .Values.config.shutdown -}}
{{- $grace := include "sluice.milliseconds" (toString (default "0s" $shutdown.grace)) -}}
{{- $timeout := include "sluice.milliseconds" (toString (default "30s" $shutdown.timeout)) -}}
{{- if le (mul (int64 .Values.terminationGracePeriodSeconds) 1000) (add (int64 $grace) (int64 $timeout)) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v is not more than config.shutdown.grace and .timeout together" .Values.terminationGracePeriodSeconds) -}}
{{- end -}}
{{- .Values.terminationGracePeriodSeconds -}}
{{- end }}
